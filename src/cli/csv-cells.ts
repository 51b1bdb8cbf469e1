/** What spreadsheets take for a formula (ASVS 1.2.10), wherever one may let a cell begin: also after the separators of other countries. */
const FORMULA = /(?<=^|[;\t])(?=['"]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])/g;
const DEFUSED = /(?<=^|[;\t])'(?=['"]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])/g;

/** RFC 4180, and no formula: an apostrophe goes before what would be one, and before what `readCell` would take for one of these. */
export function writtenCell(text: string): string {
  const harmless = text.replace(FORMULA, "'");
  return /[",;\t\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** What a cell, out of its quotes, was before it was written. */
export function readCell(cell: string): string {
  return cell.replace(DEFUSED, '');
}

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { readCell } from './csv-cells.ts';
import { COLUMNS } from './user-record.ts';

export type Format = 'ndjson' | 'csv';

/** What one user stands in: a line of NDJSON, or a record of CSV, which may have several lines. */
export type Entry = {
  /** Counted from 1. */
  line: number;
  /** As it stands there; null when it is too long or no UTF-8. */
  text: string | null;
  fields: object | null;
  /** Why there are no fields. */
  fault: string | null;
};

/** The longest that an export writes, of an account with as many passkeys as it may have, is some 90 KiB. */
export const MOST_LINE_BYTES = 128 * 1024;

/** Reads a file of users as a stream. @param onRead is told how much of the file has been read, from 0 to 1 @throws when the header of a CSV is not one */
export async function* readUsers(file: string, format: Format, onRead: (share: number) => void): AsyncGenerator<Entry> {
  const { size } = await stat(file);
  const lines = readLines(file, (bytes) => onRead(size === 0 ? 1 : bytes / size));
  yield* format === 'csv' ? csvEntries(lines) : jsonEntries(lines);
}

type Line = { line: number; text: string | null; fault: string | null };

async function* jsonEntries(lines: AsyncIterable<Line>): AsyncGenerator<Entry> {
  for await (const { line, text, fault } of lines) {
    if (text?.trim() === '') continue;
    if (text === null) yield { line, text, fields: null, fault };
    else yield { line, text, ...parsedJson(text) };
  }
}

function parsedJson(text: string): Pick<Entry, 'fields' | 'fault'> {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return { fields, fault: null };
  } catch {}
  return { fields: null, fault: 'The line is no JSON object.' };
}

/** RFC 4180, with a header of known columns; an empty cell is as good as none. */
async function* csvEntries(lines: AsyncIterable<Line>): AsyncGenerator<Entry> {
  let header: string[] | null = null;
  for await (const { line, text, fault } of csvRecords(lines)) {
    if (text?.trim() === '') continue;
    const cells = text === null ? null : cellsOf(text);
    if (header === null) {
      header = cells ?? [];
      const unknown = header.filter((name) => !COLUMNS.includes(name));
      if (unknown.length > 0)
        throw new Error(`The header of the CSV names what is no column: ${unknown.join(', ')}. Columns are ${COLUMNS.join(', ')}.`);
      if (new Set(header).size < header.length) throw new Error('The header of the CSV names a column twice.');
    } else if (cells === null) yield { line, text, fields: null, fault: fault ?? 'The quotes of the record do not match.' };
    else if (cells.length !== header.length) yield { line, text, fields: null, fault: 'The record has not as many cells as the header.' };
    else yield { line, text, fields: Object.fromEntries(header.map((name, i) => [name, fieldOf(name, cells[i] ?? '')])), fault: null };
  }
}

function fieldOf(name: string, written: string): unknown {
  const cell = readCell(written);
  if (cell === '') return null;
  if (name === 'roles') return cell.split(/[\s;]+/);
  if (name !== 'email_verified') return cell;
  return ['true', 't', '1'].includes(cell) ? true : ['false', 'f', '0'].includes(cell) ? false : cell;
}

/** Joins the lines of a record whose quotes are still open. */
async function* csvRecords(lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  let open: { line: number; text: string } | null = null;
  for await (const { line, text, fault } of lines) {
    if (text === null) {
      yield { line: open?.line ?? line, text: null, fault };
      open = null;
      continue;
    }
    const record: string = open ? `${open.text}\n${text}` : text;
    const first: number = open?.line ?? line;
    open = null;
    if (record.split('"').length % 2 === 1) yield { line: first, text: record, fault: null };
    else if (record.length > MOST_LINE_BYTES) yield { line: first, text: null, fault: 'The quotes of the record do not match.' };
    else open = { line: first, text: record };
  }
  if (open) yield { ...open, fault: null };
}

/** @returns null when quotes stand where none may */
function cellsOf(record: string): string[] | null {
  const cells: string[] = [];
  for (let at = 0; ; ) {
    const isQuoted = record[at] === '"';
    const cell = isQuoted ? /"((?:[^"]|"")*)"/y : /([^",]*)/y;
    cell.lastIndex = at;
    const found = cell.exec(record);
    if (!found) return null;
    cells.push((found[1] ?? '').replaceAll('""', '"'));
    at = cell.lastIndex;
    if (at === record.length) return cells;
    if (record[at] !== ',') return null;
    at++;
  }
}

/** Lines without their ends. No more than one line and one block of the file are held at once. */
async function* readLines(file: string, onRead: (bytes: number) => void): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let length = 0;
  let line = 1;
  let bytes = 0;
  const take = (): Line => {
    const whole = length > MOST_LINE_BYTES ? null : Buffer.concat(parts);
    const taken = { line: line++, ...decoded(whole) };
    parts = [];
    length = 0;
    return taken;
  };
  const keep = (part: Buffer) => {
    length += part.length;
    if (length <= MOST_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  for await (const block of createReadStream(file) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = block.indexOf(10); end !== -1; end = block.indexOf(10, from)) {
      keep(block.subarray(from, end));
      yield take();
      from = end + 1;
    }
    if (from < block.length) keep(Buffer.from(block.subarray(from)));
    bytes += block.length;
    onRead(bytes);
  }
  if (length > 0) yield take();
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decoded(bytes: Buffer | null): Omit<Line, 'line'> {
  if (bytes === null) return { text: null, fault: `The line has more than ${MOST_LINE_BYTES} bytes.` };
  try {
    return { text: decoder.decode(bytes).replace(/\r$/, ''), fault: null };
  } catch {
    return { text: null, fault: 'The line is no UTF-8.' };
  }
}

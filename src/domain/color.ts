const HEX = /^#[0-9a-f]{6}$/i;

/** Whether it is `#rrggbb`, and nothing else that a style could hold. */
export function isColor(text: string): boolean {
  return HEX.test(text);
}

/**
 * White or black, whichever can be read better on it: at least 4.58 to 1 on every colour that there is, where WCAG 2.2 1.4.3
 * asks for 4.5.
 * @param color `#rrggbb`
 */
export function buttonTextColor(color: string): '#ffffff' | '#000000' {
  const luminance = relativeLuminance(color);
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? '#ffffff' : '#000000';
}

/** WCAG 2.2, "relative luminance": 0 for black to 1 for white. */
export function relativeLuminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

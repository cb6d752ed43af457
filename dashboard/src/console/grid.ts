// Which rows of a long list are worth having in the document, and how wide its columns are.
import type { Column, Row } from "../lib/api";

export const ROW_HEIGHT = 30;
const MARGIN = 12;

export function visible(scrollTop: number, height: number, rows: number): { first: number; last: number } {
  const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - MARGIN);
  return { first, last: Math.min(rows, Math.ceil((scrollTop + height) / ROW_HEIGHT) + MARGIN) };
}

export const text = (value: unknown): string =>
  value === null || value === undefined ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value);

/** In pixels, by the longest of the first rows: a column must not change its width while one scrolls. */
export function widths(meta: Column[], rows: Row[]): number[] {
  return meta.map((column) => {
    const longest = rows.slice(0, 200).reduce((most, row) => Math.max(most, text(row[column.name]).length), column.name.length + 2);
    return Math.min(420, Math.max(72, Math.round(longest * 7.6 + 26)));
  });
}

/** Rows in the order of one column; the others keep theirs. Nulls come last. */
export function sorted(rows: Row[], by: { name: string; down: boolean } | null, numeric: boolean): Row[] {
  if (!by) return rows;
  const sign = by.down ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [x, y] = [a[by.name], b[by.name]];
    if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
    if (y === null || y === undefined) return -1;
    if (numeric) return sign * (Number(x) - Number(y));
    return sign * (text(x) < text(y) ? -1 : text(x) > text(y) ? 1 : 0);
  });
}

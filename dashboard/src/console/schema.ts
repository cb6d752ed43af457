// What there is to ask about: the server's own information_schema.
import { type SqlAnswer, send } from "../lib/api";

export interface Table {
  name: string;
  columns: { name: string; type: string }[];
}

export async function schemaOf(signal: AbortSignal): Promise<Table[]> {
  const sql = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema <> 'information_schema' ORDER BY table_name, ordinal_position";
  const response = await send("/sql", { method: "POST", signal, headers: { "content-type": "application/sql", accept: "application/json" }, body: sql });
  const { data } = (await response.json()) as SqlAnswer;
  const tables = new Map<string, Table>();
  for (const row of data) {
    const name = String(row["table_name"]);
    const table = tables.get(name) ?? { name, columns: [] };
    table.columns.push({ name: String(row["column_name"]), type: String(row["data_type"]) });
    tables.set(name, table);
  }
  // What is asked about most comes first.
  const rank = (name: string) => (name === "events" ? 0 : name === "dead_letters" ? 2 : 1);
  return [...tables.values()].sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}

/** Arrow's name of a type, in a word. */
export function keywordOf(type: string): string {
  if (/^Utf8|^LargeUtf8/.test(type)) return "text";
  if (/^Timestamp/.test(type)) return "timestamp";
  if (/^Date/.test(type)) return "date";
  if (/^Decimal/.test(type)) return "decimal";
  if (/^U?Int/.test(type)) return "integer";
  if (/^Float/.test(type)) return "double";
  if (/^Boolean/.test(type)) return "boolean";
  if (/^(Large)?List/.test(type)) return "list";
  return type.toLowerCase();
}

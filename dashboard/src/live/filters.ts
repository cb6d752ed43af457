// What the live view is narrowed to: sessions that have something in common. It stands in the address.
export const FILTERS = ["page", "product_id", "source", "country", "user_id"] as const;
export type FilterName = (typeof FILTERS)[number];
export type Filters = Partial<Record<FilterName, string>>;

export const FILTER_LABELS: Record<FilterName, string> = {
  page: "Page",
  product_id: "Product",
  source: "Source",
  country: "Country",
  user_id: "User",
};

export function readFilters(query: URLSearchParams): Filters {
  const filters: Filters = {};
  for (const name of FILTERS) {
    const value = query.get(name);
    if (value) filters[name] = value;
  }
  return filters;
}

export const isFiltered = (filters: Filters): boolean => Object.keys(filters).length > 0;

/** Picking what is picked already lets it go. */
export function toggled(filters: Filters, name: FilterName, value: string): Filters {
  const next = { ...filters };
  if (next[name] === value) delete next[name];
  else next[name] = value;
  return next;
}

export function address(filters: Filters): string {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (filters[name]) query.set(name, filters[name]);
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

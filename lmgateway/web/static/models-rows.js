// One list of all models: each with its instances in memory and its loads in progress.

/**
 * Return the rows, those in memory first. `loading` has the loads in progress by name. A model that LM Studio doesn't
 * list on disk has a row while it is in memory or being loaded.
 */
export function rowsOf(listing, loading) {
  const rows = new Map();
  for (const model of listing?.downloaded ?? []) rows.set(model.modelKey, { model, isOnDisk: true, instances: [], loads: [] });
  const rowOf = (model) => {
    if (!rows.has(model.modelKey)) rows.set(model.modelKey, { model, isOnDisk: false, instances: [], loads: [] });
    return rows.get(model.modelKey);
  };
  for (const instance of listing?.loaded ?? []) rowOf(instance).instances.push(instance);
  for (const [name, load] of loading) rowOf({ modelKey: load.modelKey, displayName: load.modelKey }).loads.push({ ...load, name });
  return [...rows.values()].sort((one, other) => isInUse(other) - isInUse(one) || one.model.displayName.localeCompare(other.model.displayName));
}

const isInUse = ({ instances, loads }) => Number(instances.length + loads.length > 0);

/** Return the rows that have all words of the query. `show` is "memory", a type of model, or "" for all. */
export function matching(rows, query, show) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => isShown(row, show) && words.every((word) => textOf(row).includes(word)));
}

function isShown(row, show) {
  if (show === "memory") return isInUse(row) > 0;
  return show === "" || row.model.type === show;
}

function textOf({ model, instances }) {
  const { displayName, modelKey, publisher, architecture, quantization, paramsString, aliases = [] } = model;
  const names = instances.map((one) => one.identifier);
  return [displayName, modelKey, publisher, architecture, quantization, paramsString, ...aliases, ...names].join("\n").toLowerCase();
}

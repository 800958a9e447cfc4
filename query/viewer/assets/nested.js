// Records of dependents belong under the record of their parent.

/** nested puts the records of dependents under the record of their parent, if one transaction has both. */
export function nested(records) {
  const groups = [];
  for (const r of records) {
    const last = groups[groups.length - 1];
    const fits = last && r.tx_id && last.tx === r.tx_id && last.object === r.object_type + "\u0000" + r.object_id && (r.source_model || !last.parent);
    const group = fits ? last : { tx: r.tx_id, object: r.object_type + "\u0000" + r.object_id, parent: null, parts: [] };
    if (!fits) groups.push(group);
    if (r.source_model) group.parts.push(r);
    else group.parent = r;
  }
  return groups;
}

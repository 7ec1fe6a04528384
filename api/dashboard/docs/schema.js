/** What the OpenAPI document says of values, as rows for people. Pure. */

const DEEPEST = 4; // levels of fields in fields

/** A schema itself, behind its reference. */
export function resolved(schema, schemas) {
  return schema?.$ref ? schemas[schema.$ref.split("/").pop()] : (schema ?? {});
}

/** A type in words: `number`, `list of Price`, `text or null`. */
export function typeOf(schema, schemas) {
  if (schema.$ref) {
    const found = resolved(schema, schemas);
    return found.enum ? typeOf(found, schemas) : (found.title ?? schema.$ref.split("/").pop());
  }
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => typeOf(one, schemas)))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum && schema.enum.length <= 12) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.type === "array") {
    const items = schema.prefixItems ? schema.prefixItems.map((one) => typeOf(one, schemas)).join(", ") : typeOf(schema.items ?? {}, schemas);
    return schema.prefixItems ? `[${items}]` : `list of ${items}`;
  }
  return { string: "text", integer: "integer", number: "number", boolean: "true or false", null: "null", object: "object" }[schema.type] ?? "any";
}

/** Bounds and meaning of a parameter in a line. */
export function boundsOf(schema) {
  const { pattern, minimum, maximum, exclusiveMinimum, maxItems, enum: choices, description, default: usual } = schema;
  const number = (schema.anyOf ?? []).find(({ type }) => type === "integer") ?? {};
  const low = minimum ?? exclusiveMinimum ?? (number.minimum === 0 ? undefined : number.minimum);
  return [
    description,
    choices?.length <= 12 ? choices.join(", ") : choices ? `as ${choices.slice(0, 3).join(", ")}` : "",
    low !== undefined ? (maximum === undefined ? `from ${low}` : `${exclusiveMinimum === undefined ? "" : "above "}${low} to ${maximum}`) : "",
    maxItems ? `at most ${maxItems}, with commas` : "",
    pattern && !description && !choices ? `form ${pattern}` : "",
    usual !== undefined && usual !== "" ? `default ${usual}` : "",
  ].filter(Boolean).join(" · ");
}

/** The fields of a value and of those in it, each `{ name, type, about, depth }`. */
export function fieldsOf(schema, schemas, depth = 0, seen = []) {
  const found = inner(schema, schemas);
  if (!found.properties || depth > DEEPEST || seen.includes(found)) return [];
  return Object.entries(found.properties).flatMap(([name, property]) => [
    { name, type: typeOf(property, schemas), about: property.description ?? "", depth },
    ...fieldsOf(property, schemas, depth + 1, [...seen, found]),
  ]);
}

/** What a list holds, and what else than null a value is. */
function inner(schema, schemas) {
  const found = resolved(schema, schemas);
  if (found.type === "array" && found.items) return inner(found.items, schemas);
  const other = (found.anyOf ?? []).find((one) => one.type !== "null");
  return other ? inner(other, schemas) : found;
}

/** An example of a value: that of its schema, else its required fields. */
export function exampleOf(schema, schemas) {
  const found = resolved(schema, schemas);
  if (found.examples) return found.examples[0];
  if (found.default !== undefined && found.type !== "object") return found.default;
  if (found.enum) return found.enum[0];
  if (found.anyOf) return exampleOf(found.anyOf.find(({ type }) => type !== "null"), schemas);
  if (found.type === "array") return found.items ? [exampleOf(found.items, schemas)] : [];
  if (found.type === "object" || found.properties) {
    const required = Object.entries(found.properties ?? {}).filter(([name]) => found.required?.includes(name));
    return Object.fromEntries(required.map(([name, property]) => [name, exampleOf(property, schemas)]));
  }
  return { string: "", integer: found.minimum ?? 1, number: found.minimum ?? 1, boolean: true }[found.type] ?? null;
}

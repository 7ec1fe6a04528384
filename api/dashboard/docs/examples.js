/** A request as a line of the shell, and as a program in Python and JavaScript. Pure. */

/** The address of a call with these values by parameter; what is empty is left out. */
export function addressOf(path, parameters, values) {
  let address = path;
  const query = [];
  for (const { name, in: place } of parameters) {
    const value = String(values[name] ?? "");
    if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
    else if (value) query.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  }
  return query.length ? `${address}?${query.join("&")}` : address;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const pythonText = (value) => JSON.stringify(value).replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** A JSON value as Python writes it. */
function python(value, indent = "") {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map((one) => python(one, indent)).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `${pythonText(name)}: ${python(one, indent)}`).join(", ")}}`;
  return typeof value === "string" ? pythonText(value) : String(value);
}

/** `{ method, url, body, isRaw, needsToken }`; `body` is a JSON value or undefined. `isRaw`: the answer is no JSON in the usual form. */
export function curlOf({ method, url, body, isRaw, needsToken }) {
  return [
    "curl", ...(isRaw ? ["-OJ"] : []), ...(method === "GET" ? [] : ["-X", method]),
    ...(needsToken ? ['-H "Authorization: Bearer $TOKEN"'] : []),
    ...(body === undefined ? [] : ["-H 'Content-Type: application/json'", "-d", quoted(JSON.stringify(body))]),
    quoted(url),
  ].join(" ");
}

export function pythonOf({ method, url, body, isRaw, needsToken }) {
  const options = [
    ...(needsToken ? ['headers={"Authorization": f"Bearer {TOKEN}"}'] : []),
    ...(body === undefined ? [] : [`json=${python(body)}`]),
  ];
  const call = [pythonText(method), pythonText(url), ...options].join(", ");
  const shown = isRaw ? "print(answer.headers[\"Content-Type\"], len(answer.content))" : "print(answer.json()[\"data\"])";
  return `import httpx\n\nanswer = httpx.request(${call})\nanswer.raise_for_status()\n${shown}`;
}

export function scriptOf({ method, url, body, isRaw, needsToken }) {
  const headers = [...(needsToken ? ["Authorization: `Bearer ${token}`"] : []), ...(body === undefined ? [] : ['"Content-Type": "application/json"'])];
  const options = [
    ...(method === "GET" ? [] : [`method: ${JSON.stringify(method)}`]),
    ...(headers.length ? [`headers: { ${headers.join(", ")} }`] : []),
    ...(body === undefined ? [] : [`body: JSON.stringify(${JSON.stringify(body)})`]),
  ];
  const call = [JSON.stringify(url), ...(options.length ? [`{ ${options.join(", ")} }`] : [])].join(", ");
  if (isRaw) return `const answer = await fetch(${call});\nif (!answer.ok) throw new Error(answer.statusText);\nconsole.log(answer.headers.get("Content-Type"), (await answer.arrayBuffer()).byteLength);`;
  return `const answer = await fetch(${call});\nconst { success, data, error } = await answer.json();\nif (!success) throw new Error(error.message);\nconsole.log(data);`;
}

export const LANGUAGES = { curl: curlOf, Python: pythonOf, JavaScript: scriptOf };

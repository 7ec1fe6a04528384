// Draws /openapi.json as a list of forms; each sends its request to this server and shows the answer.

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

const bounds = ({ pattern, minimum, maximum, default: usual, description }) =>
  [description, pattern, minimum !== undefined && `${minimum} to ${maximum ?? '…'}`, usual !== undefined && usual !== '' && `default ${usual}`]
    .filter(Boolean).join(' · ')

const example = (schema, schemas) => {
  const found = schema.$ref ? schemas[schema.$ref.split('/').pop()] : schema
  if (found.examples) return found.examples[0]
  if (found.type === 'array') return found.items ? [example(found.items, schemas)] : []
  if (found.type !== 'object') return found.default ?? ''
  const required = Object.entries(found.properties).filter(([name]) => found.required?.includes(name))
  return Object.fromEntries(required.map(([name, property]) => [name, example(property, schemas)]))
}

const address = (path, parameters, values) => {
  const query = new URLSearchParams()
  for (const { name, in: place } of parameters) {
    const value = values.get(name)
    if (place === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value))
    else if (value) query.set(name, value)
  }
  return query.size ? `${path}?${query}` : path
}

const ask = async (method, url, body) => {
  const token = document.getElementById('token').value
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }) }
  const response = await fetch(url, { method, headers, body })
  const type = response.headers.get('Content-Type') ?? ''
  const text = type.includes('json') ? JSON.stringify(await response.json(), null, 2)
    : type.startsWith('text/') ? await response.text() : `${(await response.blob()).size} bytes of ${type}`
  return `${method} ${url}\n${response.status} ${response.statusText}\n\n${text}`
}

const draw = (method, path, { summary, parameters, requestBody }, schemas) => {
  const fields = parameters.map(({ name, required, schema }) => make('label', {},
    make('code', { textContent: name }),
    make('input', { name, required, placeholder: bounds(schema), value: required ? schema.examples?.[0] ?? '' : '' })))
  const body = requestBody && make('textarea', {
    name: 'body', rows: 5, value: JSON.stringify(example(requestBody.content['application/json'].schema, schemas), null, 2)
  })
  const shown = make('pre', { hidden: true })
  const form = make('form', {}, ...fields, ...(body ? [body, make('br')] : []), make('button', { textContent: 'Send' }), shown)
  form.onsubmit = async event => {
    event.preventDefault()
    shown.hidden = false
    shown.textContent = '…'
    const url = address(path, parameters, new FormData(form))
    shown.textContent = await ask(method, url, body?.value).catch(error => `${method} ${url}\n${error}`)
  }
  return make('details', {},
    make('summary', {}, make('span', { className: 'method', textContent: method }), make('code', { textContent: path }),
      ' ', make('small', { textContent: summary })), form)
}

const { paths, components } = await (await fetch('/openapi.json')).json()
document.getElementById('operations').append(...Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations).map(([method, operation]) => draw(method.toUpperCase(), path, operation, components.schemas))))

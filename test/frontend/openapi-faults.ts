/** Whether a document is what OpenAPI 3.1 wants. */

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many places
export type Part = any;

/** Structural rules of OpenAPI 3.1 that its meta schema states; each returns what breaks it. */
export function findFaults(document: Part): string[] {
  const faults: string[] = [];
  const fault = (where: string, what: string) => faults.push(`${where}: ${what}`);
  if (!/^3\.1\.\d+$/.test(document.openapi)) fault('openapi', 'no version');
  if (typeof document.info?.title !== 'string' || typeof document.info?.version !== 'string')
    fault('info', 'incomplete');
  const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
  const ids = new Set<string>();
  const shapes = new Set<string>();
  for (const [path, item] of Object.entries<Part>(document.paths)) {
    if (!path.startsWith('/')) fault(path, 'begins with no slash');
    const shape = path.replaceAll(/\{[^}]*\}/g, '{}');
    if (shapes.has(shape)) fault(path, 'matches what another template does');
    shapes.add(shape);
    for (const [method, operation] of Object.entries<Part>(item)) {
      const where = `${method} ${path}`;
      if (!methods.includes(method)) fault(where, 'no method');
      if (ids.has(operation.operationId)) fault(where, 'operationId is taken');
      ids.add(operation.operationId);
      const params = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name);
      const ofPath = operation.parameters.filter((one: Part) => one.in === 'path').map((one: Part) => one.name);
      if (params.toSorted().join() !== ofPath.toSorted().join()) fault(where, `parameters ${ofPath} for ${params}`);
      const names = operation.parameters.map((one: Part) => `${one.in} ${one.name}`);
      if (new Set(names).size !== names.length) fault(where, 'a parameter twice');
      for (const one of operation.parameters) {
        if (!['path', 'query', 'header', 'cookie'].includes(one.in)) fault(where, `in: ${one.in}`);
        if (one.in === 'path' && one.required !== true) fault(where, `${one.name} must be required`);
        if (one.schema === undefined) fault(where, `${one.name} has no schema`);
      }
      if (Object.keys(operation.responses).length === 0) fault(where, 'no responses');
      for (const [status, answer] of Object.entries<Part>(operation.responses)) {
        if (!/^([1-5](\d\d|XX)|default)$/.test(status)) fault(where, `status ${status}`);
        if (answer.$ref === undefined && typeof answer.description !== 'string') fault(where, `${status} says nothing`);
      }
      for (const needed of operation.security ?? [])
        for (const name of Object.keys(needed))
          if (document.components.securitySchemes[name] === undefined) fault(where, `no scheme ${name}`);
    }
  }
  for (const name of Object.values<Part>(document.components).flatMap((kind) => Object.keys(kind)))
    if (!/^[a-zA-Z0-9._-]+$/.test(name)) fault('components', `the name ${name}`);
  for (const [, pointer = ''] of JSON.stringify(document).matchAll(/"\$ref":"#([^"]*)"/g)) {
    const found = pointer
      .split('/')
      .slice(1)
      .reduce<Part>((value, key) => value?.[key], document);
    if (found === undefined) fault('$ref', `#${pointer} leads nowhere`);
  }
  return faults;
}

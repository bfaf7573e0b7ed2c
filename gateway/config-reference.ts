/** Writes `docs/configuration.md` from the configuration's schema: `npm run docs`. A test holds the two together. */
import { writeFile } from 'node:fs/promises';
import type { TSchema } from 'typebox';
import { describeExpected, type SchemaNode } from '../policies/schema-expectation.ts';
import { configFlags, environmentVariables } from './config-environment.ts';
import { configFileNames } from './config-file.ts';
import { GatewayConfig } from './config-schema.ts';

const configSchema: SchemaNode = GatewayConfig as TSchema;

interface Row {
  readonly key: string;
  readonly schema: SchemaNode;
  readonly required: boolean;
}

/** The whole page. */
export function buildConfigReference(): string {
  const sections = Object.entries(configSchema.properties ?? {}).map(([key, schema]) => buildSection(key, schema));
  return `${[introduction(), ...sections].join('\n\n')}\n`;
}

/** Every key of the schema as the page writes it, e.g. `services.<name>.routes[].timeout`. */
export function listConfigKeys(): string[] {
  return listRows('', configSchema).map((row) => row.key);
}

function introduction(): string {
  const overrides = (table: Readonly<Record<string, readonly string[]>>, prefix: string): string =>
    Object.entries(table)
      .map(([name, path]) => `| \`${prefix}${name}\` | \`${path.join('.')}\` |`)
      .join('\n');
  return `# Configuration

<!-- Written by \`npm run docs\` from gateway/config-schema.ts. Change the descriptions there. -->

Everything has a default: Selvage starts without any configuration. Otherwise the file is the one that \`--config\` or
\`SELVAGE_CONFIG\` names, else the first of these in the working directory: ${configFileNames.map((name) => `\`${name}\``).join(', ')}.

\`\`\`ts
// selvage.config.ts
import { defineConfig } from 'selvage';

export default defineConfig({ listen: { port: 4000 } });
\`\`\`

\`selvage check\` prints every mistake with its place; unknown keys are mistakes. \`selvage print-config-schema\` prints
the JSON Schema for editors. A change of the file is checked first and taken over without a restart; a bad one is logged,
and the configuration before stays in force. SIGHUP does the same at once. Of a TypeScript or JavaScript file only the file
itself is read again, not what it imports.

In YAML and JSON, \`\${NAME}\` and \`\${NAME:-default}\` stand for environment variables (\`:-\` also for an empty one), and
\`$\${\` for the characters themselves. They are put in after parsing, so a value cannot become structure. A variable that
is a whole value without quotes becomes a number or a boolean where it looks like one. Between \`{ }\` or \`[ ]\` YAML
takes variables only in quotes. Duplicate keys are mistakes.

Durations are numbers with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`; sizes with \`b\`, \`kb\`, \`mb\` or \`gb\` (powers of 1,024).

Order: defaults < file < environment < flags.

| from outside | sets |
|---|---|
${overrides(environmentVariables, '')}
${overrides(configFlags, '--')}`;
}

function buildSection(key: string, schema: SchemaNode): string {
  const rows = [{ key, schema, required: false }, ...listRows(key, schema)];
  const description = schema.description === undefined ? '' : `${schema.description}\n\n`;
  // An object says nothing in a table of its own that the keys below it do not say.
  const told = rows.filter(
    (row) => !isContainer(row.schema) || (row.schema.description !== undefined && row.key !== key),
  );
  const lines = told.map(
    (row) =>
      `| \`${row.key}\` | ${escapeCell(describeExpected(row.schema))} | ${describeDefault(row)} | ${escapeCell(row.key === key ? '' : (row.schema.description ?? ''))} |`,
  );
  return `## ${key}\n\n${description}| key | takes | default | |\n|---|---|---|---|\n${lines.join('\n')}`;
}

function isContainer(schema: SchemaNode): boolean {
  return schema.properties !== undefined || schema.patternProperties !== undefined;
}

/** All keys below a schema. Entries of lists read `[]`, names of the operator's choice `<name>`. */
function listRows(prefix: string, schema: SchemaNode): Row[] {
  if (schema.items !== undefined) return listRows(`${prefix}[]`, schema.items);
  // Of alternatives, the first object tells the keys: the others are lists of it.
  const object = schema.anyOf?.find((branch) => branch.properties !== undefined);
  if (object !== undefined) return listRows(prefix, object);
  const named = Object.values(schema.patternProperties ?? {}).flatMap((value) => {
    const key = `${prefix}.${prefix === 'fields' ? '<Type.field>' : '<name>'}`;
    return listRows(key, value);
  });
  const properties = Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    return [{ key, schema: value, required: schema.required?.includes(name) ?? false }, ...listRows(key, value)];
  });
  return [...named, ...properties];
}

function describeDefault({ key, schema, required }: Row): string {
  if (required) return 'required';
  // The schemas are shared, and so is their default; what a service leaves out, the gateway's own policies say.
  if (/^services\.<name>\.routes\[\]\.(timeout|priority|public|cost|preserveHost)$/.test(key)) return "the service's";
  const inherited =
    /^services\.<name>\.((timeout|retry|circuitBreaker|outlierDetection|concurrency|priority)\b.*)$/.exec(key)?.[1];
  if (inherited !== undefined) return `\`policies.${inherited}\``;
  if (schema.default === undefined) return '';
  return escapeCell(`\`${typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}\``);
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

if (import.meta.main) await writeFile(new URL('../docs/configuration.md', import.meta.url), buildConfigReference());

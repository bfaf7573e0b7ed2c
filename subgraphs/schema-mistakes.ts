/**
 * What is wrong with a value, said for people: all mistakes at once, each with a JSON pointer (RFC 6901) and what was
 * expected there.
 */
import type { Validator } from 'typebox/compile';
import type { TLocalizedValidationError as Mistake } from 'typebox/error';
import { Settings } from 'typebox/system';
import type { ErrorReason } from '../policies/errors.ts';

/** What this file needs of a compiled schema. */
type Checker = Pick<Validator, 'Check' | 'Errors'>;

/** Mistakes that are listed. More help nobody, and a body of a megabyte can hold very many. */
const maxMistakes = 100;
const maxRawMistakes = 1_000;
const maxShownLength = 80;

/** The mistakes in a value; none when it fits the schema. */
export function findMistakes(checker: Checker, value: unknown): readonly ErrorReason[] {
  if (checker.Check(value)) return [];
  const mistakes = listMistakes(checker, value);
  const choices = mistakes
    .filter((mistake) => mistake.keyword === 'anyOf')
    .map((anyOf) => judgeChoice(anyOf, mistakes));
  return mistakes
    .filter((mistake) => !choices.some((choice) => choice.hides(mistake)))
    .flatMap((mistake) => describe(mistake, choices, value))
    .slice(0, maxMistakes);
}

/** TypeBox stops at 8 mistakes unless its one global setting says otherwise; nobody else shall notice. */
function listMistakes(checker: Checker, value: unknown): Mistake[] {
  const { maxErrors } = Settings.Get();
  Settings.Set({ maxErrors: maxRawMistakes });
  try {
    return checker.Errors(value);
  } finally {
    Settings.Set({ maxErrors });
  }
}

/** A place where the schema says "this or that" and the value is neither. */
interface Choice {
  readonly anyOf: Mistake;
  /** What was expected, when not even the type of an alternative fits. */
  readonly expected: readonly string[] | null;
  hides(mistake: Mistake): boolean;
}

/**
 * TypeBox lists the mistakes of all alternatives. The one whose type the value has was meant: only its mistakes count.
 * When there is no such alternative, one sentence names them all.
 */
function judgeChoice(anyOf: Mistake, mistakes: readonly Mistake[]): Choice {
  const prefix = `${anyOf.schemaPath}/anyOf/`;
  const isInside = ({ schemaPath, instancePath }: Mistake) =>
    schemaPath.startsWith(prefix) &&
    (instancePath === anyOf.instancePath || instancePath.startsWith(`${anyOf.instancePath}/`));
  const branchOf = ({ schemaPath }: Mistake) => schemaPath.slice(prefix.length).split('/')[0];
  const inside = mistakes.filter(isInside);
  const roots = inside.filter(
    (mistake) =>
      (mistake.keyword === 'const' || mistake.keyword === 'type') &&
      mistake.schemaPath === prefix + branchOf(mistake) &&
      mistake.instancePath === anyOf.instancePath,
  );
  const hopeless = new Set(roots.map(branchOf));
  const isHopeless = inside.every((mistake) => hopeless.has(branchOf(mistake)));
  return {
    anyOf,
    expected: isHopeless ? roots.map(nameExpected) : null,
    hides: (mistake) => (mistake === anyOf ? !isHopeless : isInside(mistake) && hopeless.has(branchOf(mistake))),
  };
}

function nameExpected(mistake: Mistake): string {
  if (mistake.keyword === 'const') return JSON.stringify(mistake.params.allowedValue);
  return mistake.keyword === 'type' ? nameType(mistake.params.type) : mistake.message;
}

function describe(mistake: Mistake, choices: readonly Choice[], value: unknown): ErrorReason[] {
  const path = mistake.instancePath;
  const at = (key: string) => `${path}/${escapePointer(key)}`;
  switch (mistake.keyword) {
    case 'boolean':
      return []; // an unknown key, which `additionalProperties` says better
    case 'additionalProperties':
      return mistake.params.additionalProperties.map((key) => ({ path: at(key), message: `unknown key ${show(key)}` }));
    case 'required':
      return mistake.params.requiredProperties.map((key) => ({ path: at(key), message: `${show(key)} is missing` }));
    case 'minLength':
    case 'maxLength':
    case 'minItems':
    case 'maxItems': {
      const unit = mistake.keyword.endsWith('Length') ? 'characters' : 'entries';
      const bound = mistake.keyword.startsWith('min') ? 'at least' : 'at most';
      return [{ path, message: `expected ${bound} ${mistake.params.limit} ${unit}` }];
    }
    default: {
      const expected = choices.find(({ anyOf }) => anyOf === mistake)?.expected;
      return [{ path, message: `expected ${nameWanted(mistake, expected)}, got ${show(find(value, path))}` }];
    }
  }
}

function nameWanted(mistake: Mistake, alternatives: readonly string[] | null | undefined): string {
  if (alternatives) return `one of ${alternatives.join(', ')}`;
  switch (mistake.keyword) {
    case 'type':
      return nameType(mistake.params.type);
    case 'const':
      return JSON.stringify(mistake.params.allowedValue);
    case 'pattern':
      return `text that matches ${mistake.params.pattern}`;
    case 'minimum':
    case 'maximum':
      return `a number ${mistake.params.comparison} ${mistake.params.limit}`;
    default:
      return `a value that ${mistake.message}`;
  }
}

function nameType(type: string | readonly string[]): string {
  const names = typeof type === 'string' ? [type] : type;
  return names.map((name) => (/^[aio]/.test(name) ? `an ${name}` : `a ${name}`)).join(' or ');
}

/** The value that a JSON pointer points to. */
function find(value: unknown, pointer: string): unknown {
  let found = value;
  for (const key of pointer.split('/').slice(1)) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = Reflect.get(found, key.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return found;
}

/** One key of a JSON pointer (RFC 6901 section 4). */
export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  // Reasons go into the audit log: a password that someone put into a URL must not.
  const text = (JSON.stringify(value) ?? typeof value).replace(/\/\/[^/]*@/, '//***@');
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}...` : text;
}

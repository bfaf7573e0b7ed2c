/** A request of REST as the message that `google.api.http` makes of it: body, path and query together. */
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { buildReasons, formatPointer } from '../policies/schema-mistakes.ts';
import type { GrpcBinding } from '../subgraphs/grpc-schema.ts';
import type { Descriptors, Field } from '../subgraphs/protobuf/descriptors.ts';
import { type Json, JsonMistake, JsonParameter, parseJsonText } from '../subgraphs/protobuf/json-text.ts';
import { encodeJson } from '../subgraphs/protobuf/json-to-wire.ts';
import { isSpecialType } from '../subgraphs/protobuf/well-known.ts';

type Tree = Map<string, Json>;

/** More are no query that anybody wrote. */
const maxParameters = 1_000;

/** The message. Throws BAD_REQUEST with the places of all mistakes, ROUTE_NOT_FOUND for a path of another method. */
export function encodeRequest(
  descriptors: Descriptors,
  { method, rule, template }: GrpcBinding,
  path: string,
  query: string,
  body: Buffer | null,
): Buffer {
  const captured = decodePath(() => template.match(path));
  if (captured === null) throw new GatewayError('ROUTE_NOT_FOUND', 'No route matches this path');
  const tree = new RequestTree(descriptors, method.input, readBody(rule.body, body));
  for (const { field, text } of captured) tree.setFromPath(field, text);
  for (const [name, text] of new URLSearchParams(query)) tree.addFromQuery(name, text, rule.body);
  const encoded = encodeJson(descriptors, method.input, tree.root);
  const reasons = [...tree.reasons, ...('mistakes' in encoded ? buildReasons(encoded.mistakes) : [])];
  if (reasons.length > 0 || !('bytes' in encoded)) throw refuse(reasons);
  return encoded.bytes;
}

function decodePath<Result>(match: () => Result): Result {
  try {
    return match();
  } catch (thrown) {
    if (thrown instanceof URIError) throw new GatewayError('BAD_REQUEST', 'The path is not encoded well');
    throw thrown;
  }
}

/** The part of the message that the body is. */
function readBody(field: string, body: Buffer | null): Json {
  const isEmpty = body === null || body.length === 0;
  if (field === '') {
    if (!isEmpty) throw new GatewayError('BAD_REQUEST', 'This request takes no body');
    return new Map();
  }
  if (isEmpty) return new Map();
  try {
    const json = parseJsonText(body);
    return field === '*' ? json : new Map([[field, json]]);
  } catch (thrown) {
    if (thrown instanceof JsonMistake) throw refuse([{ path: '', message: thrown.message }]);
    throw thrown;
  }
}

function refuse(reasons: readonly ErrorReason[]): GatewayError {
  return new GatewayError('BAD_REQUEST', 'The request does not fit the method', { reasons });
}

/** The message as JSON, while it is put together. */
class RequestTree {
  readonly root: Json;
  readonly reasons: ErrorReason[] = [];
  readonly #descriptors: Descriptors;
  readonly #type: string;
  #parameters = 0;

  constructor(descriptors: Descriptors, type: string, root: Json) {
    this.#descriptors = descriptors;
    this.#type = type;
    this.root = root;
  }

  /** The path holds, whatever the body says. */
  setFromPath(names: readonly string[], text: string): void {
    const place = this.#find(names);
    if (place === null) return;
    place.parent.delete(place.field.name);
    place.parent.delete(place.field.jsonName);
    place.parent.set(place.field.jsonName, new JsonParameter(text));
  }

  addFromQuery(name: string, text: string, body: string): void {
    if (++this.#parameters > maxParameters) {
      if (this.#parameters === maxParameters + 1) this.#tell('', `more than ${maxParameters} parameters`);
      return;
    }
    const names = name.split('.');
    const place = body === '*' || names[0] === body || names.length > 32 ? null : this.#find(names);
    if (place === null || !isParameter(place.field)) {
      this.#tell(
        formatPointer(names),
        `the query has ${JSON.stringify(name.slice(0, 60))}, which names no field that it can set`,
      );
      return;
    }
    const { parent, field } = place;
    const key = parent.has(field.name) ? field.name : field.jsonName;
    const before = parent.get(key);
    const value = new JsonParameter(text);
    if (field.repeated) parent.set(key, [...(Array.isArray(before) ? (before as Json[]) : []), value]);
    else if (before === undefined) parent.set(key, value);
    else this.#tell(formatPointer(names), 'is given more than once');
  }

  /** The field of that name, and the object that it is in; made where it is missing. */
  #find(names: readonly string[]): { readonly parent: Tree; readonly field: Field } | null {
    let parent = this.root;
    let type = this.#type;
    for (const [index, name] of names.entries()) {
      const field = this.#descriptors.messages.get(type)?.byName.get(name);
      if (field === undefined || !(parent instanceof Map)) return null;
      const members: Tree = parent;
      if (index === names.length - 1) return { parent: members, field };
      if (field.kind !== 'message' || field.repeated || isSpecialType(field.typeName)) return null;
      const key = members.has(field.name) ? field.name : field.jsonName;
      if (!(members.get(key) instanceof Map)) members.set(key, new Map());
      parent = members.get(key) ?? null;
      type = field.typeName;
    }
    return null;
  }

  #tell(path: string, message: string): void {
    if (this.reasons.length < 20) this.reasons.push({ path, message });
  }
}

/** What has a form as text. */
function isParameter({ kind, typeName }: Field): boolean {
  if (kind !== 'message') return true;
  return isSpecialType(typeName) && !/\.(?:Any|Struct|Value|ListValue)$/.test(typeName);
}

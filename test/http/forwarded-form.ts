/**
 * What a service must see of a request, worked out from the bytes of the client alone and by nothing of the gateway's own:
 * what the fuzzer holds the gateway to.
 */
import type { StrictField, StrictRequest } from '../support/strict-http.ts';

export interface ForwardedForm {
  readonly method: string;
  readonly target: string;
  /** Those of the client, in order and spelling. */
  readonly fields: readonly string[];
  /** Those of the gateway, each of them once. */
  readonly own: Readonly<Record<string, string | RegExp>>;
  readonly body: string;
  readonly trailers: readonly string[];
}

const ofConnection = [
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te'],
  ...['transfer-encoding', 'upgrade', 'content-length'],
]; // biome-ignore format: a list to look over
const ofGateway = [
  ...['client-cert', 'client-cert-chain', 'expect', 'forwarded', 'host', 'http2-settings', 'trailer', 'via', 'x-mirrored'],
  ...['x-real-ip', 'x-request-id', 'x-request-timeout-ms', 'x-route-variant', 'x-user-id', 'x-user-issuer', 'x-user-roles'],
  ...['x-user-scopes', 'x-user-token'],
]; // biome-ignore format: a list to look over
/** What comes before the body or not at all, of what the samples hold. */
const neverLate = ['authorization', 'cookie', 'content-type', 'accept', 'range'];

const plainName = (name: string): string => (name.startsWith('x') ? name.replaceAll(/[^a-z0-9]/g, '-') : name);
const print = ({ spelled, value }: StrictField): string => `${spelled}: ${value}`;

/** The form in which a request of a client arrives. */
export function forwardedForm(asked: StrictRequest): ForwardedForm {
  const { method, fields, target } = asked;
  const valuesOf = (wanted: string) => fields.filter(({ name }) => name === wanted).map(({ value }) => value);
  const named = valuesOf('connection').flatMap((value) =>
    value
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  );
  const isForService = ({ name }: StrictField): boolean =>
    ![...ofConnection, ...ofGateway].includes(plainName(name)) &&
    !plainName(name).startsWith('x-forwarded-') &&
    !named.includes(name);
  const passed = fields.filter(isForService);
  const counted = passed.map((field) =>
    method === 'OPTIONS' && field.name === 'max-forwards' && /^[1-9]\d*$/.test(field.value)
      ? { ...field, value: String(Number(field.value) - 1) }
      : field,
  );
  const local = target.replace(/^https?:\/\/[^/?]*/i, '');
  const [host = ''] = valuesOf('host');
  const vias = valuesOf('via').flatMap((value) => value.split(/[ \t]*,[ \t]*/));
  const via = [...vias, '1.1 selvage'].filter((value) => value !== '').join(', ');
  const announced = valuesOf('trailer')
    .join(',')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  const late = asked.trailers.filter(
    (field) =>
      announced.includes(field.name) && isForService(field) && !neverLate.includes(field.name) &&
      !passed.some(({ name }) => name === field.name) && asked.body !== '',
  ); // biome-ignore format: one condition per thing
  return {
    method,
    target: /^\//.test(local) ? local : `/${local}`,
    fields: counted.map(print),
    own: {
      via,
      forwarded: /^for=127\.0\.0\.1;host=/,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': host,
      'x-forwarded-proto': 'http',
      'x-request-id': /^[A-Za-z0-9._~:@=+/-]{1,128}$/,
      'x-request-timeout-ms': /^\d+$/,
    },
    body: asked.body,
    trailers: late.map(print),
  };
}

/** How what a service saw differs from the form; null where it does not. `isWhole`: false where the body broke off. */
export function findDifference(
  seen: StrictRequest,
  form: ForwardedForm,
  serviceHost: string,
  isWhole: boolean,
): string | null {
  const own: Record<string, string | RegExp> = { ...form.own, host: serviceHost, connection: /^(?:keep-alive|close)$/ };
  const isOwn = ({ name }: StrictField): boolean => Object.hasOwn(own, name);
  const isFraming = ({ name }: StrictField): boolean => /^(?:content-length|transfer-encoding|trailer)$/.test(name);
  if (seen.method !== form.method) return 'method';
  if (seen.target !== form.target) return 'target';
  if (isWhole ? seen.body !== form.body : !form.body.startsWith(seen.body)) return 'body';
  for (const [wanted, value] of Object.entries(own)) {
    const values = seen.fields.filter(({ name }) => name === wanted).map((field) => field.value);
    const [first = ''] = values;
    if (values.length !== 1 || (typeof value === 'string' ? first !== value : !value.test(first))) return wanted;
  }
  const others = seen.fields.filter((field) => !isOwn(field) && !isFraming(field)).map(print);
  if (others.join('\n') !== form.fields.join('\n'))
    return `fields ${JSON.stringify(others)}, not ${JSON.stringify(form.fields)}`;
  if (isWhole && seen.trailers.map(print).join('\n') !== form.trailers.join('\n')) return 'trailers';
  return null;
}

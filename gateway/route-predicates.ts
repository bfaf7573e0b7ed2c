/** What a route asks of a request beside path and method, compiled once per routing table. */
import type { IncomingHttpHeaders } from 'node:http';
import { compileLinearRegex } from '../policies/linear-regex.ts';
import { createNetworkTest } from '../policies/network-list.ts';
import type { Viewer } from '../policies/request-context.ts';
import { compileValueMatch, type TestValue, type ValueMatch } from '../policies/value-match.ts';
import { readCookie } from '../subgraphs/balancing-key.ts';
import type { Predicate } from '../subgraphs/route-match.ts';
import type { RankedMatch } from '../subgraphs/route-order.ts';
import { maxRegexInput, type RoutePattern } from '../subgraphs/route-pattern.ts';
import { normalizePath } from '../subgraphs/route-rewrite.ts';

/** What predicates look at. */
export interface RouteFacts {
  readonly headers: IncomingHttpHeaders;
  /** The raw query with its question mark; empty when there is none. */
  readonly query: string;
  readonly address: string;
  /** Undefined as long as nobody has asked who it is. */
  readonly viewer: Viewer | null | undefined;
}

export type TestRequest = (facts: RouteFacts, path: string) => boolean;

export interface CompiledPredicates {
  /** Null for a route that takes any host. */
  readonly host: ((authority: string) => boolean) | null;
  /** All but the host and claims; null when there are none. */
  readonly test: TestRequest | null;
  /** Null for a route that asks for no claims. */
  readonly claims: ((viewer: Viewer) => boolean) | null;
}

export function compilePredicates({ predicates, pattern }: RankedMatch): CompiledPredicates {
  const host = predicates.find(({ kind }) => kind === 'host');
  const claims = predicates.filter(({ kind }) => kind === 'claim').map(compileClaim);
  const tests = [
    ...compileParameters(pattern),
    ...predicates.filter(({ kind }) => kind !== 'host' && kind !== 'claim').map(compilePredicate),
  ];
  return {
    host: host === undefined ? null : compileHost(String(host.value)),
    test: tests.length === 0 ? null : (facts, path) => tests.every((test) => test(facts, path)),
    claims: claims.length === 0 ? null : (viewer) => claims.every((test) => test(viewer)),
  };
}

/** Without a port it is that host on any port. */
function compileHost(host: string): (authority: string) => boolean {
  if (host.startsWith('*.')) {
    const below = host.slice(1);
    const hasPort = below.includes(':');
    return (authority) => (hasPort ? authority : withoutPort(authority)).endsWith(below) && authority !== below;
  }
  return host.includes(':')
    ? (authority) => authority === host
    : (authority) => authority === host || withoutPort(authority) === host;
}

export function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(':');
  return colon < 0 || authority.endsWith(']') ? authority : authority.slice(0, colon);
}

function compileParameters({ segments }: RoutePattern): TestRequest[] {
  return segments.flatMap((segment, index): TestRequest[] => {
    if (segment.kind !== 'parameter' || segment.regex === null) return [];
    const { regex } = compileLinearRegex(segment.regex);
    return [
      (_, path) => {
        const text = normalizePath(path).split('/')[index + 1] ?? '';
        return text.length <= maxRegexInput && regex.test(text);
      },
    ];
  });
}

function compilePredicate({ kind, name = '', value }: Predicate): TestRequest {
  if (kind === 'networks') {
    const isWithin = createNetworkTest(value as readonly string[], 'networks');
    return ({ address }) => isWithin(address);
  }
  if (kind === 'regex') {
    const { regex } = compileLinearRegex(String(value));
    return (_, path) => path.length <= maxRegexInput && regex.test(normalizePath(path));
  }
  const test = compileValueMatch(value as ValueMatch);
  if (kind === 'cookie') return ({ headers }) => test(readCookie(headers.cookie, name));
  if (kind === 'query') return ({ query }) => testQuery(query, name, test);
  return ({ headers }) => test(headers[name] === undefined ? undefined : String(headers[name]));
}

function testQuery(query: string, name: string, test: TestValue): boolean {
  if (query === '') return test(undefined);
  const values = new URLSearchParams(query).getAll(name);
  return values.length === 0 ? test(undefined) : values.some(test);
}

function compileClaim({ name = '', value }: Predicate): (viewer: Viewer) => boolean {
  const test = compileValueMatch(value as ValueMatch);
  return ({ claims }) => {
    const claim = Object.hasOwn(claims, name) ? claims[name] : undefined;
    const values = Array.isArray(claim) ? claim : [claim];
    return values.length === 0 ? test(undefined) : values.some((each) => test(writeClaim(each)));
  };
}

function writeClaim(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim;
  return typeof claim === 'number' || typeof claim === 'boolean' ? String(claim) : undefined;
}

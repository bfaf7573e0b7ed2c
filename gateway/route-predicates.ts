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

export type TestRequest = (facts: RouteFacts) => boolean;
/** What expressions over a path say of it. */
export type TestPath = (path: string) => 'fits' | 'fails' | 'too-long';

export interface CompiledPredicates {
  /** Null for a route that takes any host. */
  readonly host: ((authority: string) => boolean) | null;
  /** All but the host, expressions over the path, and claims; null when there are none. */
  readonly test: TestRequest | null;
  /** Null for a route without expressions over the path. */
  readonly fits: TestPath | null;
  /** Null for a route that asks for no claims. */
  readonly claims: ((viewer: Viewer) => boolean) | null;
}

export function compilePredicates({ predicates, pattern }: RankedMatch): CompiledPredicates {
  const host = predicates.find(({ kind }) => kind === 'host');
  const claims = predicates.filter(({ kind }) => kind === 'claim').map(compileClaim);
  const regex = predicates.find(({ kind }) => kind === 'regex');
  const tests = predicates.filter(({ kind }) => !['host', 'claim', 'regex'].includes(kind)).map(compilePredicate);
  const fitting = compileParameters(pattern);
  if (regex !== undefined) fitting.push(compilePathTest(String(regex.value), (path) => path));
  return {
    host: host === undefined ? null : compileHost(String(host.value)),
    test: tests.length === 0 ? null : (facts) => tests.every((test) => test(facts)),
    fits: fitting.length === 0 ? null : combine(fitting),
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

/** One that certainly does not fit decides, however long the others are. */
function combine(tests: readonly TestPath[]): TestPath {
  return (path) => {
    let fit: ReturnType<TestPath> = 'fits';
    for (const test of tests) {
      const one = test(path);
      if (one === 'fails') return one;
      if (one === 'too-long') fit = one;
    }
    return fit;
  };
}

function compileParameters({ segments }: RoutePattern): TestPath[] {
  return segments.flatMap((segment, index): TestPath[] => {
    if (segment.kind !== 'parameter' || segment.regex === null) return [];
    return [compilePathTest(segment.regex, (path) => path.split('/')[index + 1] ?? '')];
  });
}

function compilePathTest(source: string, pick: (path: string) => string): TestPath {
  const { regex, literalPrefix } = compileLinearRegex(source);
  return (path) => {
    const text = pick(normalizePath(path));
    if (text.length <= maxRegexInput) return regex.test(text) ? 'fits' : 'fails';
    return text.startsWith(literalPrefix) ? 'too-long' : 'fails';
  };
}

function compilePredicate({ kind, name = '', value }: Predicate): TestRequest {
  if (kind === 'networks') {
    const isWithin = createNetworkTest(value as readonly string[], 'networks');
    return ({ address }) => isWithin(address);
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

/** What the calls of the admin API read from a request, and say in an answer, alike. */
import type { Author } from '../subgraphs/audit.ts';
import type { ChangeAuthor } from '../subgraphs/precondition.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

/** 200 with a body. */
export function ok(body: unknown): AdminAnswer {
  return { status: 200, body };
}

/** A part of the path. */
export function parameter({ parameters }: AdminRequest, name: string): string {
  return parameters[name] ?? '';
}

/** Who does it, and why: in the query or in `x-reason`. */
export function authorOf({ administrator, query, reason }: AdminRequest): Author {
  const said = query.get('reason') ?? reason;
  return said === undefined || said === '' ? { name: administrator.name } : { name: administrator.name, reason: said };
}

/** The same for what can be only tried, and can have a condition. */
export function changeAuthorOf(request: AdminRequest): ChangeAuthor & { readonly dryRun: boolean } {
  return { ...authorOf(request), dryRun: isSet(request.query.get('dryRun')), ifMatch: request.ifMatch };
}

/** A flag of the query: present, and not switched off. */
export function isSet(value: string | null): boolean {
  return value !== null && value !== '0' && value !== 'false';
}

/** Whether it is an object with keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

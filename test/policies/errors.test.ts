import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type ErrorCode,
  errorHeaders,
  errorKinds,
  GatewayError,
  toGatewayError,
  toGraphQLError,
  toProblem,
} from '../../policies/errors.ts';

const codes = Object.keys(errorKinds) as ErrorCode[];
const secret = 'connect ECONNREFUSED 10.0.0.5:8080';

describe('the error table', () => {
  it('gives every code a status of a failure and a title', () => {
    for (const code of codes) {
      const { status, title } = errorKinds[code];
      assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
      assert.ok(status >= 400 && status <= 599, code);
      assert.notEqual(title, '');
    }
  });

  it('names only error types of Proxy-Status that RFC 9209 section 2.3 registers', () => {
    const registered = new Set(
      [
        'dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited',
        'destination_ip_unroutable connection_refused connection_terminated connection_timeout connection_read_timeout',
        'connection_write_timeout connection_limit_reached tls_protocol_error tls_certificate_error tls_alert_received',
        'http_request_error http_request_denied http_response_incomplete http_response_header_section_size',
        'http_response_header_size http_response_body_size http_response_trailer_section_size',
        'http_response_trailer_size http_response_transfer_coding http_response_content_coding http_response_timeout',
        'http_upgrade_failed http_protocol_error proxy_internal_response proxy_internal_error proxy_configuration_error',
        'proxy_loop_detected',
      ].flatMap((line) => line.split(' ')),
    );
    for (const code of codes) {
      const kind = errorKinds[code];
      if ('proxyError' in kind) assert.ok(registered.has(kind.proxyError), `${code}: ${kind.proxyError}`);
    }
  });

  it('says that a retry may help exactly where the failure may pass by itself', () => {
    assert.deepEqual(
      codes.filter((code) => errorKinds[code].retryMayHelp),
      [
        'REQUEST_TIMEOUT',
        'RATE_LIMIT_EXCEEDED',
        'DOWNSTREAM_SERVICE_ERROR',
        'SERVICE_UNAVAILABLE',
        'CIRCUIT_BREAKER_OPEN',
        'OVERLOADED',
        'GATEWAY_TIMEOUT',
      ],
    );
  });
});

describe('a gateway error', () => {
  it('takes status and message from the table when nobody says more', () => {
    const error = new GatewayError('GATEWAY_TIMEOUT');
    assert.deepEqual([error.status, error.message, error.name], [504, 'The service was too late', 'GatewayError']);
    assert.equal(Object.hasOwn(error, 'cause'), false);
  });

  it('rounds Retry-After up to whole seconds and never says 0', () => {
    const seconds = [0, 0.001, 1, 1.2, 59.5];
    assert.deepEqual(
      seconds.map((retryAfterSeconds) => new GatewayError('OVERLOADED', 'x', { retryAfterSeconds }).retryAfterSeconds),
      [1, 1, 1, 2, 60],
    );
  });

  it('stays itself, and anything else becomes one that says nothing', () => {
    const own = new GatewayError('FORBIDDEN');
    assert.equal(toGatewayError(own), own);
    for (const thrown of [new Error(secret), secret, undefined, null, { message: secret }]) {
      const error = toGatewayError(thrown);
      assert.deepEqual([error.code, error.message], ['INTERNAL_SERVER_ERROR', 'Internal server error']);
      assert.equal(error.cause, thrown);
    }
  });
});

describe('a problem document', () => {
  it('has the members of RFC 9457 and ours', () => {
    const error = new GatewayError('RATE_LIMIT_EXCEEDED', 'Too fast', { service: 'orders', retryAfterSeconds: 3 });
    const problem = toProblem(error, 'id-1');
    assert.equal(problem.status, 429);
    assert.deepEqual(JSON.parse(problem.body), {
      type: 'about:blank',
      title: 'Rate limit exceeded',
      status: 429,
      detail: 'Too fast',
      code: 'RATE_LIMIT_EXCEEDED',
      requestId: 'id-1',
      service: 'orders',
      retryAfter: 3,
    });
    assert.deepEqual(problem.headers, {
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(problem.body)),
      'retry-after': '3',
      'proxy-status': 'selvage; error=http_request_denied',
    });
  });

  it('counts bytes, not characters', () => {
    const problem = toProblem(new GatewayError('BAD_REQUEST', 'größer als erlaubt'), 'id');
    assert.equal(Number(problem.headers['content-length']), Buffer.from(problem.body).length);
  });

  it('carries the reasons of a refusal', () => {
    const reasons = [{ message: 'Field "id" is missing', service: 'orders', type: 'Order' }];
    const problem = toProblem(new GatewayError('REGISTRATION_REFUSED', undefined, { reasons }), 'id');
    assert.deepEqual(JSON.parse(problem.body).reasons, reasons);
  });

  it('says which methods are allowed and which credentials are wanted', () => {
    assert.equal(
      errorHeaders(new GatewayError('METHOD_NOT_ALLOWED', 'x', { allow: ['GET', 'PUT'] }))['allow'],
      'GET, PUT',
    );
    assert.equal(errorHeaders(new GatewayError('UNAUTHENTICATED'))['www-authenticate'], 'Bearer');
    const challenge = 'Bearer error="invalid_token"';
    const refused = new GatewayError('UNAUTHENTICATED', 'x', { challenge });
    assert.equal(errorHeaders(refused)['www-authenticate'], challenge);
  });
});

describe('what leaves the process', () => {
  it('never holds the cause or the stack, at either door and for every code', () => {
    for (const code of codes) {
      const error = new GatewayError(code, undefined, { cause: new Error(secret) });
      const problem = toProblem(error, 'id');
      assert.doesNotMatch(problem.body + JSON.stringify(problem.headers), /10\.0\.0\.5|ECONNREFUSED|\.ts:/, code);
      assert.doesNotMatch(JSON.stringify(toGraphQLError(error, 'id')), /10\.0\.0\.5|ECONNREFUSED|\.ts:/, code);
    }
  });

  it('has the same code, id and headers in GraphQL', () => {
    const error = new GatewayError('SERVICE_UNAVAILABLE', 'No instance', { service: 'orders', retryAfterSeconds: 2 });
    const { message, extensions, originalError } = toGraphQLError(error, 'id-1');
    assert.equal(message, 'No instance');
    assert.equal(originalError, error);
    assert.deepEqual(extensions, {
      code: 'SERVICE_UNAVAILABLE',
      requestId: 'id-1',
      service: 'orders',
      retryAfter: 2,
      http: {
        status: 503,
        headers: { 'retry-after': '2', 'proxy-status': 'selvage; error=destination_unavailable' },
      },
    });
  });
});

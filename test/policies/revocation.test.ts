/** What is revoked stays revoked: through restarts of Redis, and whatever is remembered of the credential. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { buildClaimsViewer } from '../../policies/claims-viewer.ts';
import type { Viewer } from '../../policies/request-context.ts';
import { createRevocationList, type Revocation, type RevokedKey } from '../../policies/revocation.ts';
import {
  buildRevocationId,
  createRedisRevocationStore,
  firstPosition,
  followRevocations,
  revocationConnection,
} from '../../policies/revocation-redis.ts';
import { redisControlSkipReason, redisSkipReason, startRedis } from '../support/redis.ts';

const nowMs = Date.UTC(2030, 0, 1);
const issuer = 'https://idp.example';

function viewerOf(claims: Record<string, unknown>, kind: Viewer['kind'] = 'jwt'): Viewer {
  return buildClaimsViewer({ id: 'ada', kind, issuer, scopes: '', roles: [], claims });
}

function revoke(key: RevokedKey, issuedUntil = nowMs / 1_000): Revocation {
  return { key, issuedUntil, expiresAtMs: nowMs + 3_600_000 };
}

describe('the list of revocations', () => {
  const cases: [string, RevokedKey, Record<string, unknown>, boolean][] = [
    ['a token by its id', ['token', issuer, 't1'], { jti: 't1' }, true],
    ['no other token', ['token', issuer, 't1'], { jti: 't2' }, false],
    ['no token of another issuer with the same id', ['token', 'https://other', 't1'], { jti: 't1' }, false],
    ['what a subject was given before', ['subject', issuer, 'ada'], { iat: nowMs / 1_000 - 1 }, true],
    ['what a subject was given in that very second', ['subject', issuer, 'ada'], { iat: nowMs / 1_000 }, true],
    ['nothing that a subject was given since', ['subject', issuer, 'ada'], { iat: nowMs / 1_000 + 1 }, false],
    ['what does not say when it was given', ['subject', issuer, 'ada'], {}, true],
    ['nothing of another subject', ['subject', issuer, 'grace'], {}, false],
    ['what an issuer gave before', ['issuer', issuer], { iat: nowMs / 1_000 - 1 }, true],
    ['nothing that an issuer gave since', ['issuer', issuer], { iat: nowMs / 1_000 + 1 }, false],
  ];
  for (const [what, key, claims, refused] of cases) {
    it(`refuses ${what}`, () => {
      const list = createRevocationList({}, () => nowMs);
      list.add([revoke(key)]);
      assert.equal(list.check(viewerOf(claims))?.code, refused ? 'UNAUTHENTICATED' : undefined);
    });
  }

  it('does not concern API keys: those are taken out of the configuration', () => {
    const list = createRevocationList({ onStoreError: 'deny' }, () => nowMs);
    list.add([revoke(['subject', issuer, 'ada'])]);
    assert.equal(list.check(viewerOf({}, 'api-key')), null);
  });

  it('forgets what has expired', () => {
    let atMs = nowMs;
    const list = createRevocationList({}, () => atMs);
    list.add([revoke(['subject', issuer, 'ada'])]);
    atMs += 3_600_000;
    assert.equal(list.check(viewerOf({})), null);
    list.confirm();
    assert.equal(list.size, 0);
  });

  it('refuses everybody when it is stale, where the operator says so, and nobody more where not', () => {
    let atMs = nowMs;
    const deny = createRevocationList({ onStoreError: 'deny' }, () => atMs);
    const allow = createRevocationList({ onStoreError: 'allow' }, () => atMs);
    assert.equal(deny.check(viewerOf({}))?.code, 'SERVICE_UNAVAILABLE', 'nothing is known yet');
    assert.equal(allow.check(viewerOf({})), null);
    deny.confirm();
    atMs += 5_000;
    assert.equal(deny.check(viewerOf({})), null);
    atMs += 1;
    assert.equal(deny.check(viewerOf({}))?.code, 'SERVICE_UNAVAILABLE');
  });
});

async function setUp() {
  const redis = await startRedis();
  const connection = new Redis(redis.url, revocationConnection);
  connection.on('error', () => {});
  const prefix = `test-${crypto.randomUUID()}:`;
  const store = createRedisRevocationStore(connection, prefix, () => nowMs);
  return {
    redis,
    store,
    async [Symbol.asyncDispose]() {
      connection.disconnect();
      await redis[Symbol.asyncDispose]();
    },
  };
}

describe('revocations in Redis', { skip: redisSkipReason }, () => {
  it('are read once each, in the order in which they came', async () => {
    await using set = await setUp();
    await set.store.add(revoke(['token', issuer, 'a']));
    await set.store.add(revoke(['subject', issuer, 'b "quoted"']));
    const first = await set.store.read(firstPosition);
    assert.deepEqual(first.revocations, [revoke(['token', issuer, 'a']), revoke(['subject', issuer, 'b "quoted"'])]);
    await set.store.add(revoke(['issuer', issuer]));
    const second = await set.store.read(first);
    assert.deepEqual(second.revocations, [revoke(['issuer', issuer])]);
    assert.deepEqual((await set.store.read(second)).revocations, []);
  });

  it('are read page by page', async () => {
    await using set = await setUp();
    const ids = Array.from({ length: 5_001 }, (_, i) => `t${i}`);
    await Promise.all(ids.map((id) => set.store.add(revoke(['token', issuer, id]))));
    const list = createRevocationList({}, () => nowMs);
    const follower = followRevocations(set.store, list, { onAvailable: () => {} });
    await follower.begun;
    follower.close();
    assert.equal(list.size, 5_001);
  });

  it('about the same mean what the stricter one means', async () => {
    await using set = await setUp();
    await set.store.add(revoke(['subject', issuer, 'ada'], 2_000));
    await set.store.add({ ...revoke(['subject', issuer, 'ada'], 1_000), expiresAtMs: nowMs + 1 });
    const [entry] = (await set.store.read(firstPosition)).revocations;
    assert.deepEqual(entry, revoke(['subject', issuer, 'ada'], 2_000));
  });

  it('are listed with the newest first, page by page, without those that expired', async () => {
    await using set = await setUp();
    const keys: RevokedKey[] = ['a', 'b', 'c', 'd'].map((id) => ['token', issuer, id]);
    for (const key of keys) await set.store.add(revoke(key));
    await set.store.add({ ...revoke(['token', issuer, 'old']), expiresAtMs: nowMs });
    const first = await set.store.list(3);
    assert.deepEqual(
      first.revocations.map(({ key }) => key),
      [keys[3], keys[2]],
    );
    assert.ok(first.next !== null);
    const second = await set.store.list(3, first.next);
    assert.deepEqual(
      second.revocations.map(({ id, ...revocation }) => [id === buildRevocationId(revocation.key), revocation]),
      [keys[1], keys[0]].map((key) => [true, revoke(key ?? ['issuer', issuer])]),
    );
    assert.equal(second.next, null);
    await set.store.add(revoke(['token', issuer, 'a']));
    assert.deepEqual((await set.store.list(1)).revocations[0]?.key, keys[0], 'one that is renewed is the newest');
  });

  it('that are taken back are over for who knows them, and can be made anew', async () => {
    await using set = await setUp();
    const key: RevokedKey = ['subject', issuer, 'ada'];
    const list = createRevocationList({}, () => nowMs);
    await set.store.add(revoke(key));
    await set.store.add(revoke(['subject', issuer, 'grace']));
    const known = await set.store.read(firstPosition);
    list.add(known.revocations);
    assert.equal(list.check(viewerOf({}))?.code, 'UNAUTHENTICATED');

    assert.equal(await set.store.remove('no-such-id'), null);
    assert.deepEqual(await set.store.remove(buildRevocationId(key)), revoke(key));
    assert.equal(await set.store.remove(buildRevocationId(key)), null, 'it is none any more');
    assert.deepEqual(
      (await set.store.list(10)).revocations.map((entry) => entry.key[2]),
      ['grace'],
    );
    const news = await set.store.read(known);
    list.add(news.revocations);
    assert.equal(list.check(viewerOf({})), null);

    await set.store.add(revoke(key, 500));
    const again = await set.store.read(news);
    assert.deepEqual(again.revocations, [revoke(key, 500)], 'what was taken back adds nothing to it');
  });

  it('that are taken back are found among thousands', async () => {
    await using set = await setUp();
    const keys = Array.from({ length: 3_000 }, (_, i): RevokedKey => ['token', issuer, `t${i}`]);
    await Promise.all(keys.map((key) => set.store.add(revoke(key))));
    const key = keys[2_345] ?? ['issuer', issuer];
    assert.deepEqual((await set.store.remove(buildRevocationId(key)))?.key, key);
  });

  it('that have expired are dropped when others come', async () => {
    await using set = await setUp();
    await set.store.add({ ...revoke(['token', issuer, 'old']), expiresAtMs: nowMs - 1 });
    await set.store.add(revoke(['token', issuer, 'new']));
    const { revocations } = await set.store.read(firstPosition);
    assert.deepEqual(
      revocations.map(({ key }) => key[2]),
      ['new'],
    );
  });

  it('stay in force when Redis lost them, and new ones are heard of', { skip: redisControlSkipReason }, async () => {
    await using set = await setUp();
    const list = createRevocationList({}, () => nowMs);
    const told: boolean[] = [];
    const { promise: back, resolve } = Promise.withResolvers<void>();
    await set.store.add(revoke(['token', issuer, 'before']));
    const follower = followRevocations(set.store, list, {
      intervalMs: 10,
      onAvailable(available) {
        told.push(available);
        if (available) resolve();
      },
    });
    await follower.begun;
    await set.redis.stop();
    while (told.length === 0) await new Promise((tick) => setTimeout(tick, 5));
    await set.redis.start();
    await back;
    await set.store.add(revoke(['token', issuer, 'after']));
    while (list.size < 2) await new Promise((tick) => setTimeout(tick, 5));
    follower.close();
    assert.deepEqual(told, [false, true]);
    assert.equal(list.check(viewerOf({ jti: 'before' }))?.code, 'UNAUTHENTICATED');
    assert.equal(list.check(viewerOf({ jti: 'after' }))?.code, 'UNAUTHENTICATED');
  });
});

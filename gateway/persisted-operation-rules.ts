/** What contradicts itself in `graphql.persistedOperations`. */
import type { Mistake } from '../policies/schema-mistakes.ts';
import type { GatewayConfig } from './config-schema.ts';

export function findPersistedMistakes({ graphql, redis, store }: GatewayConfig): Mistake[] {
  const { mode = 'off', source, apq, allowArbitrary = [] } = graphql?.persistedOperations ?? {};
  const at = (name: string, message: string): Mistake => ({ path: ['graphql', 'persistedOperations', name], message });
  const hasRedis = redis !== undefined || typeof store === 'object' || /^rediss?:/.test(store ?? '');
  return [
    ...(mode !== 'off' && source === undefined
      ? [at('mode', `\`${mode}\` needs a \`source\` of trusted documents`)]
      : []),
    ...(source === 'redis' && !hasRedis ? [at('source', 'there is no Redis: set `redis`, or a `store` in Redis')] : []),
    ...(mode === 'enforce' && apq === true
      ? [at('apq', 'contradicts `mode: enforce`: clients would register any operation')]
      : []),
    ...(mode !== 'enforce' && allowArbitrary.length > 0
      ? [at('allowArbitrary', 'only `mode: enforce` refuses anything that could be allowed here')]
      : []),
  ];
}

/** What no check of definitions can say: only after it was asked is it known what a service speaks. */
import { GatewayError } from '../policies/errors.ts';
import { isComposed, type Snapshot } from './snapshot.ts';

/** Throws REGISTRATION_REFUSED when a service that speaks federation says how to merge its types. */
export function assertMergeIsForPlain(candidate: Snapshot): void {
  const reasons = candidate.services
    .filter(isComposed)
    .filter((service) => service.schema.kind === 'federation' && service.definition.graphql?.merge !== undefined)
    .map(({ name }) => ({
      service: name,
      path: '/graphql/merge',
      message: `${name} speaks federation: \`merge\` is for plain services; say \`@key\` in the schema instead`,
    }));
  const [first] = reasons;
  if (first !== undefined) throw new GatewayError('REGISTRATION_REFUSED', first.message, { reasons });
}

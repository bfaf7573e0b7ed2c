/** What logs and metrics are told of a call of gRPC. */
import type { GatewayError } from '../policies/errors.ts';
import { grpcHttpStatuses, grpcStatusNames, nameGrpcStatus, toGrpcStatus } from '../policies/grpc-status.ts';
import type { GrpcForm } from './grpc-dialect.ts';

/** How a call came in. */
export type GrpcCallForm = 'grpc' | 'grpc-web' | 'transcoded';

export interface GrpcFacts {
  readonly form: GrpcCallForm;
  /** As the client gets it; null while nobody has said it. */
  status: number | null;
}

/** A request turns out to be a call. */
export function noteGrpcCall(context: { grpc: GrpcFacts | undefined }, form: GrpcForm | 'transcoded'): void {
  context.grpc ??= { form: form === 'grpc' || form === 'transcoded' ? form : 'grpc-web', status: null };
}

/** The service said how it ended. What is no number is as good as UNKNOWN. */
export function noteGrpcStatus({ grpc }: { readonly grpc: GrpcFacts | undefined }, said: string): void {
  const status = Number(said);
  if (grpc !== undefined) grpc.status ??= Number.isInteger(status) ? status : unknown;
}

/** The gateway ended it. */
export function noteGrpcFailure({ grpc }: { readonly grpc: GrpcFacts | undefined }, error: GatewayError): void {
  if (grpc !== undefined) grpc.status ??= toGrpcStatus(error).code;
}

/** Its status at the end. A client that left has none, and has cancelled (gRPC, Statuscodes). */
export function readGrpcStatus({ status }: GrpcFacts, hasLeft: boolean): number {
  return hasLeft ? cancelled : (status ?? unknown);
}

/** Whether an answer says that its service failed: of a call, the status of gRPC counts by what it would be in HTTP. */
export function isServiceFailure(grpc: GrpcFacts | undefined, httpStatus: number): boolean {
  const said = grpc?.status ?? null;
  return (said === null ? httpStatus : grpcHttpStatuses[nameGrpcStatus(said)]) >= 500;
}

const cancelled = grpcStatusNames.indexOf('CANCELLED');
const unknown = grpcStatusNames.indexOf('UNKNOWN');

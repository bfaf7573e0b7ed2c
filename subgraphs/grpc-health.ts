/** The health check of gRPC (grpc.health.v1, github.com/grpc/grpc/blob/master/doc/health-checking.md). */
import { formatGrpcTimeout, nameGrpcStatus } from '../policies/grpc-status.ts';
import { FrameReader, frameMessage } from './grpc-frames.ts';
import { type ProbeAnswer, type ProbeRequest, readProbeBody } from './probe-request.ts';
import { WireReader, WireWriter, wireTypes } from './protobuf/wire.ts';

/** `HealthCheckResponse.ServingStatus`, by number. */
const servingStatuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** The call of `Check`. `service` is empty for the server as a whole. */
export function buildGrpcHealthRequest(
  service: string,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): ProbeRequest {
  const message = new WireWriter();
  if (service !== '') message.tag(1, wireTypes.bytes).text(service);
  return {
    method: 'POST',
    path: '/grpc.health.v1.Health/Check',
    headers: {
      ...headers,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      'grpc-accept-encoding': 'identity',
      'grpc-timeout': formatGrpcTimeout(timeoutMs),
    },
    body: frameMessage(message.finish()),
  };
}

/** Throws unless the service says that it is serving. */
export async function judgeGrpcHealth(answer: ProbeAnswer): Promise<void> {
  const { status, headers, trailers } = answer;
  if (status !== 200) throw new Error(`status ${status}`);
  if (!String(headers['content-type']).startsWith('application/grpc')) throw new Error('no answer of gRPC');
  const body = await readProbeBody(answer);
  // An answer without a message may say its status in the head (gRPC over HTTP2, Trailers-Only).
  const code = headers['grpc-status'] ?? trailers['grpc-status'];
  if (code === undefined) throw new Error('no status of gRPC');
  if (code !== '0') throw new Error(`status ${nameGrpcStatus(Number(code))}`);
  const [message] = new FrameReader(body.length).push(body);
  if (message === undefined) throw new Error('no message');
  const serving = readServingStatus(message);
  if (serving !== 'SERVING') throw new Error(serving);
}

function readServingStatus(message: Buffer): string {
  let status = 0;
  const reader = new WireReader(message);
  while (!reader.isAtEnd) {
    const { field, type } = reader.tag();
    if (field === 1 && type === wireTypes.varint) status = reader.uint32();
    else reader.skip(type);
  }
  return servingStatuses[status] ?? 'UNKNOWN';
}

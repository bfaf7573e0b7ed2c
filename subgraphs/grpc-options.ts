/** What a service says of its gRPC. */
import Type from 'typebox';
import { Duration, OneOf, Size } from '../policies/units.ts';

/** `package.Service`, or `package.Service/Method`. */
const serviceName = '[A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)*';
/** Base64 of about 3 MB. */
const maxDescriptorsLength = 4_000_000;

export const GrpcOptions = Type.Object(
  {
    services: Type.Optional(
      Type.Array(Type.String({ pattern: `^${serviceName}$`, maxLength: 500 }), {
        maxItems: 200,
        description:
          'Services (`package.Service`) that clients of gRPC and gRPC-Web may call under their own paths. Default: those of `descriptors`.',
        examples: [['shop.v1.Orders']],
      }),
    ),
    descriptors: Type.Optional(
      Type.String({
        minLength: 4,
        maxLength: maxDescriptorsLength,
        description:
          'The descriptor set (`protoc --include_imports --descriptor_set_out`, `buf build`) in base64; in a configuration file also `file:PATH`. Methods with `google.api.http` become REST routes that speak JSON.',
      }),
    ),
    protos: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        minItems: 1,
        maxItems: 100,
        description: '.proto files in place of `descriptors`; in a configuration file only.',
      }),
    ),
    protoPaths: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        maxItems: 100,
        description: 'Folders in which `protos` and what they import are looked for, beside that of the configuration.',
      }),
    ),
    transcoding: Type.Optional(
      Type.Boolean({ default: true, description: 'Whether the `google.api.http` rules become routes.' }),
    ),
    web: Type.Optional(
      OneOf(['translate', 'forward', 'refuse'], {
        default: 'translate',
        description:
          'gRPC-Web: spoken by the gateway, so that the service need not know it, passed on as it is, or refused.',
      }),
    ),
    streaming: Type.Optional(
      Type.Array(Type.String({ pattern: `^${serviceName}/[A-Za-z_][A-Za-z0-9_]*$`, maxLength: 500 }), {
        maxItems: 1_000,
        description:
          'Methods (`package.Service/Method`) with streams: neither the timeout for the first byte nor the one between bytes holds for them, nor the largest body. Those of `descriptors` are known.',
      }),
    ),
    maxMessageSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '4mb', description: 'Largest message, in either direction.' }),
    ),
    maxStreamDuration: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long a method with streams may take, whatever its client says. Default: without end.',
      }),
    ),
    json: Type.Optional(
      Type.Object(
        {
          emitDefaults: Type.Optional(
            Type.Boolean({ default: false, description: 'Whether answers have fields that hold their default.' }),
          ),
          fieldNames: Type.Optional(
            OneOf(['json', 'proto'], {
              default: 'json',
              description: 'Names in answers: `orderId`, or `order_id` as in the .proto file. Requests may use both.',
            }),
          ),
        },
        { additionalProperties: false, description: 'JSON of transcoded methods.' },
      ),
    ),
  },
  {
    additionalProperties: false,
    description:
      'The service speaks gRPC: HTTP/2, with https by ALPN, else by prior knowledge. Calls of gRPC and gRPC-Web pass to it, and methods with `google.api.http` are REST routes.',
  },
);
export type GrpcOptions = Type.Static<typeof GrpcOptions>;

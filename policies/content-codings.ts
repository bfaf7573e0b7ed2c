/** Content codings (RFC 9110 section 8.4.1) of Node: what they are called, and how much memory and time they may take. */
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { GatewayError } from './errors.ts';

export const codings = ['zstd', 'br', 'gzip'] as const;
export type Coding = (typeof codings)[number];

/** Those that this Node has: zstd came with 22.15. */
export const availableCodings: readonly Coding[] = codings.filter(
  (coding) => coding !== 'zstd' || typeof zlib.createZstdCompress === 'function',
);

const { constants } = zlib;

/**
 * Middling levels: what is compressed once and sent once is not worth more time. Windows are small, since every answer
 * under way has its own: with the defaults of Brotli one takes several megabytes.
 */
function settingsOf(coding: Coding, flushes: boolean) {
  const windowBits = flushes ? 15 : 18;
  const chunkSize = flushes ? 4_096 : 16_384;
  switch (coding) {
    case 'gzip':
      return flushes
        ? { level: 5, windowBits: 13, memLevel: 6, chunkSize, flush: constants.Z_SYNC_FLUSH }
        : { level: 5, chunkSize };
    case 'br':
      return {
        chunkSize,
        params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LGWIN]: windowBits },
        ...(flushes && { flush: constants.BROTLI_OPERATION_FLUSH }),
      };
    case 'zstd':
      return {
        chunkSize,
        params: {
          [constants.ZSTD_c_compressionLevel]: flushes ? 1 : 3,
          [constants.ZSTD_c_windowLog]: windowBits,
          ...(flushes && { [constants.ZSTD_c_hashLog]: 12, [constants.ZSTD_c_chainLog]: 12 }),
        },
        ...(flushes && { flush: constants.ZSTD_e_flush }),
      };
  }
}

/** A stream that encodes. `flushes`: whatever is written comes out at once, for bodies that are read while they are made. */
export function createEncoder(coding: Coding, flushes: boolean): Transform {
  const settings = settingsOf(coding, flushes);
  switch (coding) {
    case 'gzip':
      return zlib.createGzip(settings);
    case 'br':
      return zlib.createBrotliCompress(settings);
    case 'zstd':
      return zlib.createZstdCompress(settings);
  }
}

const encodeAll = {
  gzip: promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gzip),
  br: promisify<zlib.InputType, zlib.BrotliOptions, Buffer>(zlib.brotliCompress),
  zstd: promisify<zlib.InputType, zlib.ZstdOptions, Buffer>(zlib.zstdCompress),
};
const decodeAll = {
  gzip: promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gunzip),
  br: promisify<zlib.InputType, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
  zstd: promisify<zlib.InputType, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress),
};

/** A whole body, encoded. */
export function encodeWhole(body: string | Buffer, coding: Coding): Promise<Buffer> {
  return encodeAll[coding](body, settingsOf(coding, false));
}

/**
 * The body of a request by its `Content-Encoding`. What would be larger than `maxBytes` is never unpacked to its end:
 * PAYLOAD_TOO_LARGE. One coding only: a body within a body has no use but to hide its size.
 */
export async function decodeWhole(body: Buffer, contentEncoding: string, maxBytes: number): Promise<Buffer> {
  const name = contentEncoding.trim().toLowerCase();
  if (name === 'identity') return body;
  const coding = availableCodings.find((known) => known === (name === 'x-gzip' ? 'gzip' : name));
  if (coding === undefined) {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', `Content-Encoding must be one of ${availableCodings.join(', ')}`);
  }
  try {
    return await decodeAll[coding](body, { maxOutputLength: maxBytes });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new GatewayError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes`);
    }
    throw new GatewayError('BAD_REQUEST', 'The body is not what Content-Encoding says', { cause });
  }
}

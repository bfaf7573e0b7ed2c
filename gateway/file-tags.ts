/**
 * Entity tags of files (RFC 9110 section 8.8.3). Small files get a strong one of their content, so that it is the same on
 * every gateway and after every deployment that did not change them; large ones a weak one of size and time.
 */
import { hash } from 'node:crypto';
import { isUnchanged, type OpenFile } from './folder-files.ts';

/** Files up to this size are read at once. A client that reads slowly holds no more than that. */
export const maxTaggedBytes = 262_144;
const maxRemembered = 10_000;
const maxTries = 3;

export interface TaggedFile {
  /** The content, of a small file. */
  readonly bytes: Buffer | null;
  readonly etag: string;
}

/** Remembers the tags of contents, so that each is worked out once. */
export class FileTags {
  readonly #known = new Map<string, string>();

  /** What a file holds is one content, also while somebody writes to it: the tag is that of the bytes that are sent. */
  async read(file: OpenFile): Promise<TaggedFile> {
    if (file.sizeBytes > maxTaggedBytes) return { bytes: null, etag: weakTag(file) };
    for (let tries = 1; ; tries++) {
      const bytes = await readWhole(file);
      const isStill = bytes.length === file.sizeBytes && (await isUnchanged(file));
      if (isStill) return { bytes, etag: this.#tagOf(file, bytes) };
      // Somebody writes into it right now: these bytes are what it held at a moment, and get a tag of their own.
      if (tries === maxTries) return { bytes, etag: strongTag(bytes) };
    }
  }

  #tagOf({ version }: OpenFile, bytes: Buffer): string {
    const etag = this.#known.get(version) ?? strongTag(bytes);
    this.#known.delete(version);
    this.#known.set(version, etag);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxRemembered && oldest !== undefined) this.#known.delete(oldest);
    return etag;
  }
}

/** Reads from the beginning, and one byte more than there should be, which tells that the file grows. */
async function readWhole({ handle, sizeBytes }: OpenFile): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(sizeBytes + 1);
  let size = 0;
  while (size < buffer.length) {
    const { bytesRead } = await handle.read(buffer, size, buffer.length - size, size);
    if (bytesRead === 0) break;
    size += bytesRead;
  }
  return buffer.subarray(0, size);
}

function strongTag(bytes: Buffer): string {
  return `"${hash('sha256', bytes, 'base64url').slice(0, 27)}"`;
}

function weakTag({ sizeBytes, modifiedAtMs }: OpenFile): string {
  return `W/"${sizeBytes.toString(36)}-${Math.round(modifiedAtMs).toString(36)}"`;
}

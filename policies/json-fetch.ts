/** JSON documents from identity providers and session services: bounded in time and size, without redirects. */

export interface JsonAnswer {
  readonly status: number;
  /** The parsed body; undefined where it is no JSON. */
  readonly body: unknown;
}

export interface JsonRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
}

const maxDocumentBytes = 1_048_576;

/** Asks for a document. Rejects when there is no answer in time, or a longer one than 1 MB; its messages name the URI. */
export async function fetchJson(uri: string, request: JsonRequest, fetchDocument: typeof fetch): Promise<JsonAnswer> {
  const { method = 'GET', headers, body, timeoutMs } = request;
  const response = await fetchDocument(uri, {
    method,
    headers: { accept: 'application/json', ...headers },
    ...(body !== undefined && { body }),
    // It could lead anywhere, and would take the credential along.
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { status: response.status, body: parse(await readText(response, uri)) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readText(response: Response, uri: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxDocumentBytes) throw new Error(`${uri} answered more than ${maxDocumentBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

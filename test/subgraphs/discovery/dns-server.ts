/** A DNS server over UDP (RFC 1035) that answers what a test says. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export type DnsRecord =
  | { readonly type: 'A'; readonly address: string; readonly ttl?: number }
  | { readonly type: 'AAAA'; readonly address: string; readonly ttl?: number }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
      readonly ttl?: number;
    };

export interface DnsServer {
  /** For `servers`. */
  readonly address: string;
  /** By name in lower case. A name that is not here does not exist (NXDOMAIN). */
  readonly zone: Map<string, readonly DnsRecord[]>;
  /** Questions that came, as `A orders.test`. */
  readonly asked: string[];
  /** What it does instead of answering. */
  trouble: 'silent' | 'servfail' | 'refused' | null;
}

const types: Readonly<Record<number, string>> = { 1: 'A', 28: 'AAAA', 33: 'SRV' };
const numbers = { A: 1, AAAA: 28, SRV: 33 } as const;
const codes = { ok: 0, servfail: 2, nxdomain: 3, refused: 5 } as const;

export async function startDnsServer(t: TestContext): Promise<DnsServer> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  const server: DnsServer = {
    address: `127.0.0.1:${(socket.address() as AddressInfo).port}`,
    zone: new Map(),
    asked: [],
    trouble: null,
  };
  socket.on('message', (query, from) => {
    const answer = buildAnswer(query, server);
    if (answer !== null) socket.send(answer, from.port, from.address);
  });
  return server;
}

function buildAnswer(query: Buffer, server: DnsServer): Buffer | null {
  const { name, end } = readName(query, 12);
  const type = types[query.readUInt16BE(end)] ?? 'other';
  server.asked.push(`${type} ${name}`);
  if (server.trouble === 'silent') return null;
  const records = server.zone.get(name);
  const code = server.trouble ?? (records === undefined ? 'nxdomain' : 'ok');
  const answers = code === 'ok' ? (records ?? []).filter((record) => record.type === type) : [];
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8580 | codes[code], 2); // response, authoritative, recursion desired and available
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(answers.length, 6);
  return Buffer.concat([head, query.subarray(12, end + 4), ...answers.map((record) => writeRecord(record))]);
}

function writeRecord(record: DnsRecord): Buffer {
  const data = writeData(record);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0); // the name of the question
  head.writeUInt16BE(numbers[record.type], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(record.ttl ?? 60, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function writeData(record: DnsRecord): Buffer {
  if (record.type === 'A') return Buffer.from(record.address.split('.').map(Number));
  if (record.type === 'AAAA') return writeIpv6(record.address);
  return writeService(record);
}

function writeService(record: Extract<DnsRecord, { type: 'SRV' }>): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt16BE(record.priority, 0);
  head.writeUInt16BE(record.weight, 2);
  head.writeUInt16BE(record.port, 4);
  return Buffer.concat([head, writeName(record.target)]);
}

function writeIpv6(address: string): Buffer {
  const [before = '', after] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const head = groups(before);
  const tail = after === undefined ? [] : groups(after);
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function writeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

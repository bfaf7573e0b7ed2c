/** A service that costs next to nothing: 23 bytes of JSON for a GET, one GraphQL answer for a POST. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const json = '{"id":1,"name":"Table"}\n'.slice(0, 23);
const answer = JSON.stringify({ data: { me: { id: '1', name: 'User Number 1', username: 'user1' } } });
const headers = { 'content-type': 'application/json', 'x-internal-node': 'a1' };

const server = createServer((request, response) => {
  if (request.method === 'GET') response.writeHead(200, { ...headers, 'content-length': json.length }).end(json);
  else {
    request.resume().once('end', () => {
      response.writeHead(200, { ...headers, 'content-length': answer.length }).end(answer);
    });
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.send?.((server.address() as AddressInfo).port);
process.on('disconnect', () => process.exit());

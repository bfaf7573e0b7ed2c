/** From what the gateway and a service say about discovery to functions that look. */
import { createConsulWatch } from './consul-watch.ts';
import { type ControlPlane, createControlPlane, readCredential } from './control-plane.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import { createDnsWatch } from './dns-watch.ts';
import { createDockerWatch } from './docker-watch.ts';
import { createEtcdWatch } from './etcd-watch.ts';
import { createEurekaWatch } from './eureka-watch.ts';
import { createKubernetesWatch } from './kubernetes-watch.ts';
import { DiscoveryError, type ProviderName, type Watch } from './provider.ts';
import type { ServiceDiscovery } from './service-discovery.ts';

export interface Providers extends AsyncDisposable {
  /** A watch for one provider that a service names; undefined when it does not name it. */
  createWatch(provider: ProviderName, discovery: ServiceDiscovery, service: string): Watch | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where Kubernetes puts what a pod may use. */
const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

export function createProviders(options: DiscoveryOptions, environment: Environment = process.env): Providers {
  const planes: ControlPlane[] = [];
  const keep = (plane: ControlPlane): ControlPlane => {
    planes.push(plane);
    return plane;
  };
  const { consul, etcd, eureka } = options;
  const docker = keep(
    createControlPlane({
      name: 'Docker',
      url: 'http://docker',
      socketPath: options.docker?.socket ?? '/var/run/docker.sock',
    }),
  );
  const kubernetes = createKubernetesPlane(options.kubernetes, environment);
  if (kubernetes !== null) keep(kubernetes.plane);
  const consulPlane = consul && keep(createConsulPlane(consul));
  const etcdPlanes = etcd?.urls.map((url) => keep(createControlPlane({ name: 'etcd', url, caFile: etcd.caFile })));
  const eurekaPlanes = eureka?.urls.map((url) => keep(createEurekaPlane(url, eureka)));

  const creators: { [Name in ProviderName]: (lookup: NonNullable<ServiceDiscovery[Name]>, service: string) => Watch } =
    {
      dns: (lookup) => createDnsWatch(options.dns, lookup),
      docker: (lookup, service) => createDockerWatch(docker, lookup, service),
      kubernetes: (lookup, service) =>
        kubernetes === null
          ? createFailing('not in a cluster: the gateway needs `discovery.kubernetes.url`')
          : createKubernetesWatch(kubernetes.plane, kubernetes.namespaceOf, lookup, service),
      consul: (lookup, service) =>
        consul === undefined || consulPlane === undefined
          ? createFailing('the gateway has no `discovery.consul`')
          : createConsulWatch(consulPlane, consul, lookup, service),
      etcd: (lookup, service) =>
        etcd === undefined || etcdPlanes === undefined
          ? createFailing('the gateway has no `discovery.etcd`')
          : createEtcdWatch(etcdPlanes, etcd, lookup, service),
      eureka: (lookup, service) =>
        eureka === undefined || eurekaPlanes === undefined
          ? createFailing('the gateway has no `discovery.eureka`')
          : createEurekaWatch(eurekaPlanes, eureka, lookup, service),
    };

  function create<Name extends ProviderName>(name: Name, discovery: ServiceDiscovery, service: string) {
    const lookup = discovery[name];
    return lookup === undefined ? undefined : creators[name](lookup, service);
  }

  return {
    createWatch: create,
    async [Symbol.asyncDispose]() {
      await Promise.all(planes.map((plane) => plane[Symbol.asyncDispose]()));
    },
  };
}

/** For a service that was accepted under another configuration: it keeps its last answer, and says why. */
function createFailing(message: string): Watch {
  return async () => {
    throw new DiscoveryError(message);
  };
}

function createConsulPlane({ url, token, tokenFile, caFile }: NonNullable<DiscoveryOptions['consul']>): ControlPlane {
  return createControlPlane({
    name: 'Consul',
    url,
    caFile,
    async headers() {
      const current = tokenFile === undefined ? token : await readCredential('Consul', tokenFile);
      return current === undefined ? {} : { 'x-consul-token': current };
    },
  });
}

function createEurekaPlane(url: string, options: NonNullable<DiscoveryOptions['eureka']>): ControlPlane {
  const { username, password = '', caFile } = options;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const headers = username === undefined ? {} : { authorization };
  return createControlPlane({ name: 'Eureka', url, caFile, headers: async () => headers });
}

interface KubernetesPlane {
  readonly plane: ControlPlane;
  readonly namespaceOf: () => Promise<string>;
}

/** The pod's token goes to its own cluster only: another API server gets the one that is named for it. */
function createKubernetesPlane(
  options: DiscoveryOptions['kubernetes'],
  environment: Environment,
): KubernetesPlane | null {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443';
  const isOwn = options?.url === undefined;
  if (isOwn && host === undefined) return null;
  const url = options?.url ?? `https://${host?.includes(':') ? `[${host}]` : host}:${port}`;
  const tokenFile = options?.tokenFile ?? (isOwn ? `${serviceAccount}/token` : undefined);
  const plane = createControlPlane({
    name: 'Kubernetes',
    url,
    caFile: options?.caFile ?? (isOwn ? `${serviceAccount}/ca.crt` : undefined),
    headers: async () =>
      tokenFile === undefined ? {} : { authorization: `Bearer ${await readCredential('Kubernetes', tokenFile)}` },
  });
  const namespaceOf = async () =>
    options?.namespace ?? (isOwn ? await readCredential('Kubernetes', `${serviceAccount}/namespace`) : 'default');
  return { plane, namespaceOf };
}

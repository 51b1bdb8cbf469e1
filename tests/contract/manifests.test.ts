import { describe, expect, it } from 'vitest';
import { SETTINGS } from '#src/settings.ts';
import { HELM, kustomized, type Manifest, rendered, schemaMistakes, unknownFields } from '#tests/support/manifests.ts';
import { has } from '#tests/support/programs.ts';

/** deploy/, as kubectl and helm render it, against the schemas of Kubernetes and against what docs/deploy.md promises. */
const CHART = ['template', 'auth', 'deploy/helm/latchkey', '--kube-version', '1.31.0'];
const ORIGINS = ['--set', 'settings.ISSUER=https://auth.example.com,settings.FRONTEND_URL=https://app.example.com'];
const ALL = ['--set', 'serviceMonitor.enabled=true,secrets.more.SMTP_PASSWORD=smtp-password,image.digest=', '--set', 'podAnnotations.a=b'];

const ways: { how: string; isThere: boolean; render: () => Manifest[] }[] = [
  { how: 'kustomize', isThere: true, render: () => kustomized('deploy/kubernetes/monitored') },
  { how: 'helm', isThere: has(HELM), render: () => rendered(HELM, ...CHART, ...ORIGINS, ...ALL) },
];

type Labels = Record<string, string>;
type Selected = { selector: { matchLabels: Labels } };
type Ports = { ports: { port: number }[] };
type Container = {
  name: string;
  image: string;
  ports?: { name: string; containerPort: number }[];
  env: { name: string; value: string }[];
  resources: { requests: object; limits: object };
  securityContext: object;
  lifecycle?: object;
  [probe: string]: unknown;
};
type PodSpec = {
  containers: Container[];
  securityContext: object;
  terminationGracePeriodSeconds: number;
  topologySpreadConstraints: { labelSelector: { matchLabels: Labels } }[];
  volumes: { name: string; secret?: { secretName: string; defaultMode: number } }[];
  automountServiceAccountToken: boolean;
};

function theOne(manifests: Manifest[], kind: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind);
  if (!found) throw new Error(`there is no ${kind}`);
  return found;
}

function podOf(manifests: Manifest[], kind: string): PodSpec {
  const { spec } = theOne(manifests, kind) as unknown as { spec: { template: { spec: PodSpec } } };
  return spec.template.spec;
}

describe.each(ways)('the manifests by $how', ({ isThere, render }) => {
  it.runIf(isThere)('are all there', () => {
    expect(
      render()
        .map(({ kind }) => kind)
        .sort(),
    ).toEqual([
      'ConfigMap',
      'Deployment',
      'HorizontalPodAutoscaler',
      'Job',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Service',
      'ServiceMonitor',
    ]);
  });

  it.runIf(isThere)('are what the schemas of Kubernetes ask for, with no field that they do not know', async () => {
    const manifests = render();
    expect((await Promise.all(manifests.map(schemaMistakes))).flat()).toEqual([]);
    expect(unknownFields(manifests)).toBe('');
  });

  it.runIf(isThere)('run as nobody in particular, on files that cannot be written', () => {
    for (const kind of ['Deployment', 'Job']) {
      const pod = podOf(render(), kind);
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of pod.containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources).toMatchObject({ requests: { cpu: expect.anything(), memory: expect.anything() } });
        expect(container.resources).toMatchObject({ limits: { memory: expect.anything() } });
      }
    }
  });

  it.runIf(isThere)('ask the honest probes, drain before they end, and spread', () => {
    const pod = podOf(render(), 'Deployment');
    const [service] = pod.containers;
    expect(service).toMatchObject({
      startupProbe: { httpGet: { path: '/health/live' } },
      livenessProbe: { httpGet: { path: '/health/live' } },
      readinessProbe: { httpGet: { path: '/health/ready' } },
      lifecycle: { preStop: { exec: { command: ['sleep', '5'] } } },
    });
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(5 + 20);
    expect(pod.topologySpreadConstraints).toHaveLength(2);
  });

  it.runIf(isThere)('mean each other: what is spread, guarded, scaled, reached and watched is the service', () => {
    const manifests = render();
    const spec = <Spec>(kind: string) => theOne(manifests, kind)['spec'] as Spec;
    const labelsOf = (kind: string) => spec<{ template: { metadata: { labels: Labels } } }>(kind).template.metadata.labels;
    const service = spec<{ selector: Labels; ports: { name: string; targetPort: string }[] }>('Service');
    const pods = labelsOf('Deployment');

    expect(pods).toMatchObject(spec<Selected>('Deployment').selector.matchLabels);
    expect(pods).toMatchObject(spec<Selected>('PodDisruptionBudget').selector.matchLabels);
    expect(pods).toMatchObject(service.selector);
    expect(labelsOf('Job')).not.toMatchObject(service.selector); // it answers nobody
    for (const each of [pods, labelsOf('Job')]) {
      expect(each).toMatchObject(spec<{ podSelector: { matchLabels: Labels } }>('NetworkPolicy').podSelector.matchLabels);
    }
    for (const { labelSelector } of podOf(manifests, 'Deployment').topologySpreadConstraints) {
      expect(pods).toMatchObject(labelSelector.matchLabels);
    }
    const { name } = theOne(manifests, 'Deployment').metadata;
    expect(spec('HorizontalPodAutoscaler')).toMatchObject({ scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name } });

    const ports = podOf(manifests, 'Deployment').containers[0]?.ports ?? [];
    for (const { targetPort } of service.ports) expect(ports.map((port) => port.name)).toContain(targetPort);
    const monitor = spec<Selected & { endpoints: { port: string; path: string }[] }>('ServiceMonitor');
    expect(theOne(manifests, 'Service').metadata['labels']).toMatchObject(monitor.selector.matchLabels);
    expect(monitor.endpoints.map(({ port, path }) => [port, path])).toEqual([['metrics', '/metrics']]);
    expect(service.ports.map((port) => port.name)).toContain('metrics');

    const policy = spec<{ ingress: Ports[]; egress: Ports[] }>('NetworkPolicy');
    const reachable = policy.ingress.flatMap((rule) => rule.ports.map(({ port }) => port)).sort();
    expect(reachable).toEqual(ports.map(({ containerPort }) => containerPort).sort());
    const reached = policy.egress.flatMap((rule) => rule.ports.map(({ port }) => port));
    expect(reached).toEqual(expect.arrayContaining([53, 5432, 6432, 6379, 587, 465, 443, 4318]));
  });

  it.runIf(isThere)('name secrets and hold none, and every setting in them is one of the service', () => {
    const manifests = render();
    const pod = podOf(manifests, 'Deployment');
    const secrets = pod.volumes.flatMap(({ secret }) => (secret ? [secret] : []));
    expect(secrets.map(({ secretName }) => secretName)).toEqual(['latchkey', 'latchkey-keys']);
    for (const { defaultMode } of secrets) expect(defaultMode).toBe(0o440);
    const inMap = Object.keys(theOne(manifests, 'ConfigMap')['data'] as object);
    const inPods = ['Deployment', 'Job'].flatMap((kind) =>
      podOf(manifests, kind).containers.flatMap(({ env }) => env.map(({ name }) => name)),
    );
    const isSecret = (name: string) => 'secret' in (SETTINGS[name as keyof typeof SETTINGS] ?? {});
    for (const name of [...inMap, ...inPods]) {
      expect(Object.keys(SETTINGS)).toContain(name.replace(/_FILE$/, ''));
      expect(isSecret(name), `${name} stands in the open`).toBe(false);
    }
  });
});

describe.runIf(has(HELM))('the chart, where the tables belong to another role than that of the service', () => {
  const twoRoles = (migrate: string) => rendered(HELM, ...CHART, ...ORIGINS, '--set', migrate);

  it('[V16.4.2] gives the URL of their owner to the Job alone, which gives the service its rights', async () => {
    const manifests = twoRoles('migrate.ownerSecret=latchkey-owner,migrate.grantTo=latchkey');
    expect((await Promise.all(manifests.map(schemaMistakes))).flat()).toEqual([]);
    const job = podOf(manifests, 'Job');
    expect(job.containers).toMatchObject([{ command: ['latchkey', 'migrate', '--grant-to', 'latchkey'] }]);
    expect(job.volumes).toMatchObject([{ secret: { secretName: 'latchkey-owner' } }]);
    expect(JSON.stringify(podOf(manifests, 'Deployment'))).not.toContain('latchkey-owner');
  });

  it('says so when nobody is given rights', () => {
    expect(() => twoRoles('migrate.ownerSecret=latchkey-owner')).toThrow(/grantTo/);
    expect(() => twoRoles('migrate.ownerSecret=latchkey-owner,migrate.grantTo=latchkey,migrate.enabled=false')).toThrow(/enabled/);
  });
});

describe('the checks of the manifests', () => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'wrong' },
    spec: { selector: {}, template: { spec: { containers: [{ name: 'a', imagePullPolicyy: 'Always' }] } } },
  };

  it('find a field that is misspelt', () => {
    expect(unknownFields([deployment])).toContain('imagePullPolicyy');
  });

  it('find a value of the wrong type', async () => {
    const wrong = { ...deployment, spec: { ...deployment.spec, replicas: 'three' } };
    expect(await schemaMistakes(wrong)).toHaveLength(1);
  });

  it.runIf(has(HELM))('find that the chart takes no origin without HTTPS, and no secret as a setting', () => {
    expect(() => rendered(HELM, ...CHART)).toThrow(/ISSUER/);
    expect(() => rendered(HELM, ...CHART, ...ORIGINS, '--set', 'settings.SECRET_KEY=x')).toThrow(/SECRET_KEY/);
  });
});

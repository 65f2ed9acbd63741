import { connectAsync, type MqttClient } from 'mqtt';
import { ContraryBroker } from '../../../test/support/contrary-broker.js';
import { earlierFirst } from '../../../test/support/contrary/retained-again.js';
import { lostRetained } from '../../../test/support/contrary/retained-losses.js';
import { eventually, freePort, gate, startMosquitto, type Server } from '../../../test/support/servers.js';
import { RetainedSweep, type RetainedListener, type SweepOptions } from './retained-sweep.js';

const QUIET_MS = 50;
let broker: Server;
let device: MqttClient;

beforeAll(async () => {
  broker = await startMosquitto();
  device = await connectAsync(broker.url);
});
afterAll(async () => {
  await device.endAsync();
  await broker.stop();
});

async function withSweep<T>(
  filter: string,
  listener: Partial<RetainedListener>,
  use: (sweep: RetainedSweep) => Promise<T>,
  options: Partial<SweepOptions> = {},
): Promise<T> {
  const { signal } = new AbortController();
  const defaults = {
    url: broker.url,
    clientId: `sweep-${Math.random()}`,
    sentinel: 'spec/sentinel',
    silenceMs: 5000,
    signal,
  };
  const sweep = new RetainedSweep(
    { ...defaults, filters: [filter], ...options },
    { retained: () => undefined, live: () => undefined, late: () => undefined, ...listener },
  );
  try {
    return await use(sweep);
  } finally {
    sweep.close();
  }
}

async function retain(...topics: string[]): Promise<void> {
  await Promise.all(topics.map((topic) => device.publishAsync(topic, topic, { qos: 1, retain: true })));
}

describe('RetainedSweep', () => {
  it('passes every retained message to its caller, one at a time, and again in a further pass', async () => {
    const topics = Array.from({ length: 500 }, (_, i) => `sweep/${i}`);
    await retain(...topics);
    const seen: string[] = [];
    let running = 0;
    const retained = async (topic: string): Promise<void> => {
      expect(++running).toBe(1);
      await Promise.resolve();
      running--;
      seen.push(topic);
    };
    await withSweep('sweep/+', { retained }, async (sweep) => {
      for (let pass = 0; pass < 2; pass++) {
        expect(await sweep.pass(QUIET_MS)).toBe('complete');
        expect(seen.splice(0).sort()).toEqual(topics.sort());
      }
    });
  });

  it('names the topics of live messages, also those that come between two passes', async () => {
    const live: string[] = [];
    await withSweep('live/+', { live: (topic) => live.push(topic) }, async (sweep) => {
      await sweep.pass(QUIET_MS);
      await retain('live/a');
      await sweep.pass(QUIET_MS);
      expect(live).toEqual(['live/a']);
    });
  });

  it('names the late messages of an earlier pass and takes none of them, and their sentinel completes no pass', async () => {
    await retain('again/a', 'again/b');
    const contrary = await ContraryBroker.before(broker.port, earlierFirst);
    const seen: string[] = [];
    const late = new Set<string>();
    const retained = (_topic: string, payload: Buffer): undefined => void seen.push(payload.toString());
    await withSweep(
      'again/+',
      { retained, late: (topic) => late.add(topic) },
      async (sweep) => {
        expect(await sweep.pass(QUIET_MS)).toBe('complete');
        expect(new Set(seen.splice(0))).toEqual(new Set(['again/a', 'again/b']));
        expect(late).toEqual(new Set());
        await device.publishAsync('again/b', 'newer', { qos: 1, retain: true });
        await device.publishAsync('spec/sentinel', '', { qos: 1, retain: true });
        expect(await sweep.pass(QUIET_MS)).toBe('cut-short');
        expect(new Set(seen)).toEqual(new Set(['again/a', 'newer']));
        expect(late).toEqual(new Set(['again/a', 'again/b']));
      },
      { url: contrary.url, silenceMs: 3000 },
    );
    await contrary.stop();
  });

  it('asks for the sentinel once more if it does not come', async () => {
    await retain('held/a');
    const contrary = await ContraryBroker.before(broker.port, lostRetained('spec/sentinel', 1));
    const options = { url: contrary.url, silenceMs: 6000 };
    await withSweep('held/+', {}, async (sweep) => expect(await sweep.pass(QUIET_MS)).toBe('complete'), options);
    await contrary.stop();
  });

  it('is cut short if the sentinel is not acknowledged within the silence, and reads in a further pass', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.withholdPubacks();
    await withSweep(
      'late/+',
      {},
      async (sweep) => {
        expect(await sweep.pass(QUIET_MS)).toBe('cut-short');
        contrary.release();
        expect(await sweep.pass(QUIET_MS)).toBe('complete');
      },
      { url: contrary.url, silenceMs: 3000 },
    );
    await contrary.stop();
  });

  it('goes on reading after the replies to its pings have waited behind messages for longer than the keep-alive', async () => {
    await retain('slow/a', 'slow/b');
    let requests = 0;
    const contrary = await ContraryBroker.before(broker.port, () => ({
      fromClient: {
        pingreq: (packet, pass) => {
          requests++;
          pass(packet);
        },
      },
    }));
    const mayContinue = gate();
    const read: string[] = [];
    const retained = (topic: string): Promise<void> => {
      read.push(topic);
      return mayContinue.passed;
    };
    const options = { url: contrary.url, keepAliveSeconds: 1 };
    await withSweep(
      'slow/+',
      { retained },
      async (sweep) => {
        const pass = sweep.pass(QUIET_MS);
        await eventually('three pings are sent', () => expect(requests).toBeGreaterThan(2));
        mayContinue.open();
        expect(await pass).toBe('complete');
        expect(read.toSorted()).toEqual(['slow/a', 'slow/b']);
      },
      options,
    );
    await contrary.stop();
  });

  it('rejects a pass if the listener rejects, if the connection ends, and if it is stopped', async () => {
    await retain('failing/a');
    const refused = { retained: () => Promise.reject(new Error('Redis is away')) };
    await withSweep('failing/+', refused, (sweep) => expect(sweep.pass(QUIET_MS)).rejects.toThrow('Redis is away'));
    await withSweep('failing/+', {}, (sweep) => expect(sweep.pass(QUIET_MS)).rejects.toThrow('ECONNREFUSED'), {
      url: `mqtt://127.0.0.1:${await freePort()}`,
    });
    const stopping = new AbortController();
    const retained = (): undefined => {
      stopping.abort();
    };
    await withSweep(
      'failing/+',
      { retained },
      (sweep) => expect(sweep.pass(QUIET_MS)).rejects.toThrow('it was stopped'),
      {
        signal: stopping.signal,
      },
    );
  });
});

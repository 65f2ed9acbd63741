/** Verification results among live messages, in one order: each interleaving of docs/reconciliation.md, and all others. */
import fc from 'fast-check';
import type { MailboxMessage } from '@app/registry';
import { CLIENT, GOODBYE, RULES, WILL, World, handshake } from '../../../../test/support/shard-world.js';
import { fold } from './fold.js';

describe('a new handshake that overtakes the old last will', () => {
  /** The client shakes hands, dies and comes back. Its last will and its new handshake take different lanes. */
  function race(): World {
    const world = new World();
    world.arrive(handshake('h1'), 0);
    world.verify();
    world.retained = handshake('h2');
    world.arrive(handshake('h2'), 0);
    world.arrive(WILL, 1);
    return world;
  }

  it('a client that is online stays offline in the registry if it is not verified', () => {
    const world = race();
    expect(world.connection?.state).toBe('offline');
    expect(world.agrees()).toBe(false);
  });

  it('a client whose messages raced has a verification pending, and the verification corrects it', () => {
    const world = race();
    expect(world.needsVerification).toBe(true);
    expect(world.verify().verificationResults).toMatchObject([
      { outcome: 'corrected', answer: { state: 'online', changed: true } },
    ]);
    expect(world.connection).toMatchObject({ state: 'online', handshake_message_id: 'h2', lane: null });
    expect(world.needsVerification).toBe(false);
  });
});

describe('a goodbye that comes late, after a newer handshake', () => {
  function late(): World {
    const world = new World();
    world.retained = handshake('h1');
    world.arrive(handshake('h1'), 0);
    world.verify();
    world.retained = handshake('h2');
    world.arrive(handshake('h2'), 0);
    world.arrive(GOODBYE, 1, { retain: false });
    world.retained = WILL;
    return world;
  }

  it('a late goodbye is not the offline reason once the last will has been delivered', () => {
    const world = late();
    world.arrive(WILL, 0);
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'retained-offline' });
  });

  it('a late goodbye is not the offline reason once the last will has been read back', () => {
    const world = late();
    expect(world.verify().verificationResults).toMatchObject([{ outcome: 'corrected' }]);
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'retained-offline' });
  });
});

it('a goodbye and the removal of the handshake have the reason goodbye, whichever comes first', () => {
  const both = [GOODBYE, ''];
  for (const order of [both, both.toReversed()]) {
    const world = new World();
    world.retained = handshake('h1');
    world.arrive(handshake('h1'), 0);
    world.retained = '';
    for (const body of order) world.arrive(body, both.indexOf(body), { retain: body === '' });
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'goodbye' });
    world.verify();
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'goodbye' });
  }
});

describe('a verification', () => {
  it('a verification is dropped if a live message came after the position it noted, and it stays pending', () => {
    const world = new World();
    world.arrive(handshake('h1'), 0);
    expect(world.needsVerification).toBe(true);
    world.retained = handshake('h1');
    world.note();
    world.read();
    world.retained = WILL;
    world.arrive(WILL, 0);
    expect(world.finish()).toMatchObject({
      verificationResults: [{ outcome: 'superseded-by-live' }],
      withdrawn: [],
      events: [],
    });
    expect(world.connection?.state).toBe('offline');
    expect(world.needsVerification).toBe(true);
  });

  it('a verification is applied if the live message came before the position it noted', () => {
    const world = new World();
    world.arrive(handshake('h1'), 0);
    world.arrive(WILL, 1);
    world.retained = handshake('h1');
    expect(world.verify().verificationResults).toMatchObject([{ outcome: 'corrected' }]);
  });

  it('a late live message after a verification makes another verification pending', () => {
    const world = new World();
    world.arrive(handshake('h1'), 0);
    world.retained = handshake('h2');
    world.verify();
    world.arrive(WILL, 1);
    expect(world).toMatchObject({ connection: { state: 'offline' }, needsVerification: true });
    world.verify();
    expect(world.agrees()).toBe(true);
  });

  it('a verification keeps the lane if the retained message is the handshake last applied live', () => {
    const world = new World();
    world.retained = handshake('h1');
    world.arrive(world.retained, 0);
    expect(world.verify().verificationResults).toMatchObject([{ outcome: 'agreed' }]);
    expect(world.connection?.lane).toBe(0);
    world.retained = WILL;
    world.arrive(WILL, 0);
    expect(world.needsVerification).toBe(false);
  });

  it('a verification of another attempt is dropped', () => {
    const world = new World();
    world.arrive(handshake('h1'), 0);
    world.note();
    const stale: MailboxMessage = {
      kind: 'verified',
      clientId: CLIENT,
      attempt: '0.7',
      retained: [],
      at: 9,
      id: '1-9',
    };
    const folded = fold([stale], new Map([[CLIENT, world.connection]]), RULES, () => 'minted', new Map());
    expect(folded).toMatchObject({ verificationResults: [{ outcome: 'stale-attempt' }], withdrawn: [] });
    expect(folded.connections.size).toBe(0);
  });

  it('a verification answers a handshake it read back only if the handshake is refused', () => {
    const world = new World();
    world.retained = handshake('h1');
    expect(world.verify()).toMatchObject({ immediate: [], events: [{ type: 'connection.online' }] });
    world.retained = JSON.stringify({ type: 'host-handshake', message_id: 'bad', version: 1 });
    const refused = world.verify();
    expect(refused.immediate.map(({ todo }) => todo)).toMatchObject([{ do: 'refuse', client_id: CLIENT }]);
    expect(refused.refused).toMatchObject([{ clientId: CLIENT, inResponseTo: 'bad' }]);
    // The second reading finds the same handshake, which is not new.
    expect(world.verify()).toMatchObject({
      immediate: [],
      deadLetters: [],
      verificationResults: [{ outcome: 'agreed' }],
    });
  });

  it('the empty message after a goodbye confirms the goodbye', () => {
    const world = new World();
    world.retained = handshake('h1');
    world.arrive(world.retained, 0);
    world.verify();
    world.arrive(JSON.stringify({ ...(JSON.parse(WILL) as object), message_id: 'bye' }), 0, { retain: false });
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'goodbye' });
    world.retained = '';
    world.arrive('', 0);
    expect(world.needsVerification).toBe(false);
    expect(world.agrees()).toBe(true);
  });
});

describe('the registry and the broker', () => {
  type Step =
    | { publish: string; lane: number }
    | { deliver: number }
    | 'force-disconnect'
    | { verification: 'note' | 'read' | 'finish' };

  /** Ids of handshakes are used once; last wills and removals repeat. */
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ publish: fc.constantFrom('handshake', WILL, '', GOODBYE), lane: fc.nat(2) }),
    fc.record({ deliver: fc.nat(2) }),
    fc.record({ deliver: fc.nat(2) }),
    fc.record({ verification: fc.constantFrom('note' as const, 'read' as const, 'finish' as const) }),
  );
  const lengths = { maxLength: 40, size: 'max' } as const;
  const steps = fc.array(step, lengths);
  const stepsWithForceDisconnects = fc.array(
    fc.oneof({ weight: 12, arbitrary: step }, { weight: 1, arbitrary: fc.constant<Step>('force-disconnect') }),
    lengths,
  );

  /** @returns the world after all lanes have delivered. */
  function play(script: readonly Step[]): World {
    const world = new World();
    const lanes: string[][] = [[], [], []];
    let handshakes = 0;
    let phase: 'idle' | 'note' | 'read' = 'idle';
    const deliver = (lane: number): void => {
      const body = lanes[lane]?.shift();
      if (body !== undefined) world.arrive(body, lane, { retain: body !== GOODBYE });
    };
    for (const step of script) {
      if (step === 'force-disconnect') world.forceDisconnect();
      else if ('publish' in step) {
        const body = step.publish === 'handshake' ? handshake(`h${++handshakes}`) : step.publish;
        if (body !== GOODBYE) world.retained = body;
        lanes[step.lane]?.push(body);
      } else if ('deliver' in step) deliver(step.deliver);
      else if (step.verification === 'note' && phase === 'idle' && world.needsVerification) {
        world.note();
        phase = 'note';
      } else if (step.verification === 'read' && phase === 'note') {
        world.read();
        phase = 'read';
      } else if (step.verification === 'finish' && phase === 'read') {
        world.finish();
        phase = 'idle';
      }
    }
    lanes.forEach((lane, index) => {
      while (lane.length > 0) deliver(index);
    });
    if (phase === 'read') world.finish();
    return world;
  }

  function expectEqual(script: readonly Step[]): void {
    const world = play(script);
    if (world.needsVerification || world.unconfirmed) world.verify();
    expect(world.needsVerification).toBe(false);
    expect(world.agrees()).toBe(true);
  }

  it('registry and broker agree once the lanes have delivered and pending verifications are done, whatever the order', () => {
    fc.assert(fc.property(steps, expectEqual), { numRuns: 3000 });
  });

  it('registry and broker agree within the window of a force-disconnect too, and no reading refuses the recorded handshake', () => {
    fc.assert(fc.property(stepsWithForceDisconnects, expectEqual), { numRuns: 1000 });
  });
});

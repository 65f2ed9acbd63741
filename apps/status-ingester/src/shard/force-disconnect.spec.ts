/** What happens within the window of a force-disconnect to the client that it was sent to. */
import { GOODBYE, WILL, World, handshake } from '../../../../test/support/shard-world.js';

describe('a force-disconnect of a client that stays connected', () => {
  function disconnected(): World {
    const world = new World();
    world.retained = handshake('h1');
    world.arrive(world.retained, 0);
    world.verify();
    world.forceDisconnect();
    return world;
  }

  it('a force-disconnect leaves the client online when its recorded handshake is read back or delivered again', () => {
    const world = disconnected();
    const { connection } = world;
    expect(world.verify()).toMatchObject({ events: [], deadLetters: [], refused: [], immediate: [] });
    expect(world.arrive(world.retained, 0, { dup: true })).toMatchObject({ events: [], deadLetters: [], refused: [] });
    world.arrive(world.retained, 0);
    expect(world.connection).toMatchObject({ state: 'online', refused_until: 'never' });
    expect(connection?.force_disconnect).toBeDefined();
  });

  it('a force-disconnect refuses another handshake that is read back, once', () => {
    const world = disconnected();
    world.retained = handshake('h2');
    expect(world.verify()).toMatchObject({ refused: [{ inResponseTo: 'h2' }], deadLetters: [{}] });
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'refused' });
    expect(world.verify()).toMatchObject({ refused: [], deadLetters: [] });
  });

  it('a force-disconnect still holds, and is still to be sent, after a late last will was corrected', () => {
    const world = disconnected();
    world.arrive(WILL, 1);
    expect(world.connection?.state).toBe('offline');
    const verified = world.verify();
    expect(verified).toMatchObject({ refused: [], deadLetters: [] });
    expect(verified.withdrawn.map((todo) => (todo.do === 'reply' ? todo.reply.type : todo.do))).not.toContain(
      'force-disconnect',
    );
    expect(world.connection).toMatchObject({ state: 'online', refused_until: 'never' });
    expect(world.connection?.force_disconnect).toBeDefined();
    world.retained = handshake('h2');
    world.arrive(world.retained, 0);
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'refused' });
  });

  it('a force-disconnect refuses a client that left and sends the same handshake again, also when it is read back', () => {
    const world = disconnected();
    world.retained = '';
    world.arrive('', 0);
    world.retained = handshake('h1');
    expect(world.arrive(world.retained, 0)).toMatchObject({ refused: [{ inResponseTo: 'h1' }] });
    world.verify();
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'refused' });
  });

  it('a force-disconnect does not bring a client back that said goodbye and left its handshake', () => {
    const world = disconnected();
    world.arrive(GOODBYE, 0, { retain: false });
    expect(world.verify()).toMatchObject({ refused: [], deadLetters: [], events: [] });
    expect(world.connection).toMatchObject({ state: 'offline', offline_reason: 'goodbye' });
  });
});

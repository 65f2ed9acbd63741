/** The command `events watch`. */
import type { ConnectorEvent } from '../../events.js';
import type { EventFilter } from '../../generated/types.gen.js';
import { shown, type Context } from '../context.js';
import { EXIT } from '../failures.js';
import type { Output } from '../output.js';
import { printable } from '../printable.js';
import { styleOf } from '../colour.js';
import { beginOf } from '../since.js';

export async function watchEvents({ connector, args, out, untilInterrupted }: Context): Promise<number> {
  const options = {
    types: args.text('types')?.split(',') as EventFilter[] | undefined,
    ...{ clientId: args.text('client-id'), ...beginOf(args.text('since')), signal: untilInterrupted() },
  };
  for await (const event of connector.events(options)) {
    if (out.structured) await out.object(event);
    else await out.safe([lineOf(event, out)]);
  }
  return EXIT.done;
}

const HEAD: ReadonlySet<string> = new Set(['id', 'event_id', 'at', 'type', 'shard', 'client_id']);

function lineOf(event: ConnectorEvent, out: Output): string {
  const { at, type, shard, id } = event;
  const { client_id: clientId, ...rest } = event as Readonly<Record<string, unknown>>;
  const more = Object.entries(rest).filter(([name]) => !HEAD.has(name));
  const state = typeof rest['status'] === 'string' ? rest['status'] : type.slice(type.indexOf('.') + 1);
  const type18 = out.styled(styleOf(state), type) + ' '.repeat(Math.max(0, 18 - type.length));
  return [
    out.styled('dim', at),
    type18,
    clientId === undefined ? `shard ${shard}` : printable(shown(clientId)),
    ...more.map(([name, value]) => printable(`${name}=${shown(value)}`)),
    out.styled('dim', `id=${id}`),
  ].join('  ');
}

/** The commands `cluster show` and `cluster dead-letters`. */
import { lacksBroker } from '../../broker-reach.js';
import type { DeadLetter } from '../../cloud-connector.js';
import type { Cluster } from '../../generated/types.gen.js';
import { afterChanges } from '../changes.js';
import type { Context } from '../context.js';
import { EXIT } from '../failures.js';
import { list, type ListView } from '../list.js';
import type { Output } from '../output.js';
import { styleOf } from '../colour.js';
import type { Cell, Column } from '../table.js';

/** No event says how many messages wait, and how long. */
const FIGURES_MS = 5000;

export async function showCluster({ connector, args, out, untilInterrupted }: Context): Promise<number> {
  const show = async (): Promise<void> => {
    const state = await connector.getCluster();
    if (out.structured) await out.object(state);
    else await out.screen(await linesOf(state, args.flag('shards'), out));
  };
  if (!args.flag('watch')) {
    const state = await connector.getCluster();
    if (out.structured) await out.object(state);
    else await out.safe(await linesOf(state, args.flag('shards'), out));
    return EXIT.done;
  }
  const types = ['member.joined', 'member.left', 'shard.moved', 'sweep.ended'] as const;
  await afterChanges(connector, { types, everyMs: FIGURES_MS }, untilInterrupted(), show);
  return EXIT.done;
}

async function linesOf(state: Cluster, withShards: boolean, out: Output): Promise<string[]> {
  const ownerless = state.shards.filter(({ owner }) => owner === null).map(({ shard }) => shard);
  const isComplete = ownerless.length === 0;
  return [
    ...(await out.tableLines(columnsOf('MEMBER', 'SINCE', 'SHARDS', 'LANES', 'WAITING', 'LAG'), membersOf(state, out))),
    ...(await others(state, out)),
    '',
    out.styled(
      isComplete ? undefined : 'red',
      isComplete
        ? 'Every shard has an ingester that owns it.'
        : `Shards that no ingester owns: ${ownerless.join(', ')}`,
    ),
    ...(await brokerLines(state, out)),
    ...(withShards ? ['', ...(await shardLines(state, out))] : []),
  ];
}

/** A name is needed for the next command; the first column has it. */
function columnsOf(first: string, ...heads: string[]): Column[] {
  return [{ head: first, whole: true }, ...heads.map((head) => ({ head }))];
}

async function shardLines({ shards }: Cluster, out: Output): Promise<string[]> {
  const rows = shards.map(({ shard, owner, epoch, mailbox_depth: depth, mailbox_lag_ms: lag }) =>
    [shard, owner ?? '-', epoch ?? '-', depth, `${lag} ms`].map(String),
  );
  return out.tableLines(columnsOf('SHARD', 'OWNER', 'EPOCH', 'WAITING', 'LAG'), rows);
}

/** A gateway of an older release sends neither dispatchers nor gateways. */
async function others({ dispatchers, gateways }: Partial<Cluster>, out: Output): Promise<string[]> {
  if (dispatchers === undefined || gateways === undefined) return [];
  const dispatcherRows = dispatchers.map(({ id, since, takes_shards, reason, shards }) => [
    takes_shards ? id : `${id} (${withReason('takes no shards', reason)})`,
    out.time(since),
    `${shards}`,
  ]);
  const gatewayRows = gateways.map(({ id, since }) => [id, out.time(since)]);
  return [
    '',
    ...(dispatchers.length === 0
      ? [out.styled('red', 'No dispatcher reports: is one running? Messages wait for one.')]
      : await out.tableLines(columnsOf('DISPATCHER', 'SINCE', 'SHARDS'), dispatcherRows)),
    '',
    ...(await out.tableLines(columnsOf('GATEWAY', 'SINCE'), gatewayRows)),
  ];
}

/** A gateway of an older release sends no `broker`. */
async function brokerLines({ broker, members = [] }: Partial<Cluster>, out: Output): Promise<string[]> {
  if (broker === undefined) return [];
  if (broker === null) return ['', 'No ingester has checked the broker yet.'];
  return ['', out.styled('bold', 'BROKER'), ...reachLines(members, out), ...(await out.describeLines(broker))];
}

/** What is known of the broker may be of a time when it could be reached. */
function reachLines(members: Cluster['members'], out: Output): string[] {
  if (members.length === 0) {
    return [out.styled('red', 'No ingester reports: is one running? This is what the last check found:')];
  }
  const without = members.filter((member) => member.fitness !== 'fit' && lacksBroker(member)).map(({ id }) => id);
  if (without.length === 0) return [];
  if (without.length < members.length) return [out.styled('yellow', `Not reached by ${without.join(', ')}.`)];
  return [out.styled('red', 'No ingester reaches it. This is what the last check found:')];
}

/** A process or a gateway of an older release does not say why. */
function withReason(state: string, reason: Cluster['members'][number]['reason'] | undefined): string {
  return reason === null || reason === undefined ? state : `${state}: ${reason}`;
}

function membersOf({ members, shards }: Cluster, out: Output): Cell[][] {
  return members.map(({ id, since, draining, fitness, reason, shards: owned, lanes }) => {
    const own = shards.filter(({ owner }) => owner === id);
    const waiting = own.reduce((total, { mailbox_depth: depth }) => total + depth, 0);
    const lag = Math.max(0, ...own.map(({ mailbox_lag_ms: ms }) => ms));
    const remarks = [
      ...(draining ? ['draining'] : []),
      ...(fitness === 'fit' ? [] : [withReason(fitness, reason)]),
    ].join(', ');
    const shown = remarks === '' ? id : `${id} (${remarks})`;
    return [
      { text: shown, style: styleOf(fitness) },
      ...[out.time(since), `${owned}`, `${lanes}`, `${waiting}`, `${lag} ms`],
    ];
  });
}

export function listDeadLetters(context: Context): Promise<number> {
  const { connector } = context;
  const view: ListView<DeadLetter> = {
    columns: [{ head: 'CLIENT ID', whole: true }, ...['AT', 'REASON', 'DETAILS'].map((head) => ({ head }))],
    row: ({ client_id: clientId, at, reason, details }, out) => [clientId, out.time(at), reason, details],
    // A dead letter has no id.
    id: ({ client_id: clientId, at, shard, sample }) => JSON.stringify([clientId, at, shard, sample]),
    newestBy: ({ at }) => at,
    most: 200,
    page: (paging) => connector.listDeadLetters(paging),
    watched: { types: ['dead_letter.added'] },
  };
  return list(context, view);
}

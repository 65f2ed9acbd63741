/** The text of an event stream, read as its standard says, whichever way it comes: the one parser of the listeners here. */
export interface SseEvent {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

export class EventText {
  readonly received: SseEvent[] = [];
  /** The `data` of each, unparsed. */
  readonly texts: string[] = [];
  /** As a browser would remember it. */
  lastId = '';
  /** Comments, which only show that the stream lives. */
  beats = 0;
  private rest = '';

  protected readText(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) this.readBlock(block);
  }

  private readBlock(block: string): void {
    let event = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      const value = line.slice(colon + 1).replace(/^ /, '');
      if (colon === 0) this.beats++;
      if (line.startsWith('id:')) this.lastId = value;
      if (line.startsWith('event:')) event = value;
      if (line.startsWith('data:')) data += value;
    }
    if (data === '') return;
    this.texts.push(data);
    this.received.push({ id: this.lastId, event, data: JSON.parse(data) as SseEvent['data'] });
  }
}

/** What a caller can do next with what a response names: `links` of OpenAPI. */

interface Link {
  operationId: string;
  parameters: Record<string, string>;
  description: string;
}
type Links = Record<string, Link>;

const MESSAGE = { message_id: '$response.body#/message_id' };
const CLIENT = { client_id: '$response.body#/client_id' };

const OF_ACCEPTED: Links = {
  readMessage: { operationId: 'readMessage', parameters: MESSAGE, description: 'Reads what became of the message.' },
  waitForMessage: {
    operationId: 'readMessage',
    parameters: { ...MESSAGE, Prefer: 'wait=60' },
    description: 'Waits until the message is final.',
  },
  cancelMessage: { operationId: 'cancelMessage', parameters: MESSAGE, description: 'Cancels the message.' },
};

const OF_CONNECTION: Links = {
  listMessages: { operationId: 'listMessages', parameters: CLIENT, description: 'Lists the messages of the client.' },
  sendMessage: { operationId: 'sendMessage', parameters: CLIENT, description: 'Sends a message to the client.' },
};

const OF_SWEEP: Links = {
  getSweep: {
    operationId: 'getSweep',
    parameters: { sweep_id: '$response.body#/sweep_id' },
    description: 'Reads how far the sweep has come.',
  },
};

/** By the id of the operation and the status of its response. */
export const LINKS: Readonly<Record<string, Readonly<Record<string, Links>>>> = {
  sendMessage: { 202: OF_ACCEPTED },
  getConnection: { 200: OF_CONNECTION },
  startSweep: { 202: OF_SWEEP },
};

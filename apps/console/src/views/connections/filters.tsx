import type { ReactNode } from 'react';
import { Button } from '../../ui/button.js';
import { Check, Choice, FilterBar, TextField } from '../../ui/fields.js';
import { useRestingText } from '../../ui/use-resting-text.js';
import styles from './connections.module.css';
import { OFFLINE_REASONS, shortReason } from '../offline-reasons.js';
import { SEARCH_WORDS, STATES, TYPES, connectionsSearch, type ConnectionsSearch } from './search.js';

export interface FiltersProps {
  search: ConnectionsSearch;
  onChange: (changed: ConnectionsSearch) => void;
}

/** How long the text must rest before it is searched for. */
const REST_MS = 150;

export function Filters({ search, onChange }: FiltersProps): ReactNode {
  const [text, setText] = useRestingText(search.text ?? '', (changed) => onChange({ text: changed }), REST_MS);
  const isFiltered = Object.values(search).some((value) => value !== undefined);
  const choose = (name: keyof ConnectionsSearch) => (value: string) =>
    onChange({ [name]: connectionsSearch({ [name]: value })[name] });
  const clear = (): void => {
    onChange(connectionsSearch({}));
  };
  return (
    <FilterBar>
      <Choice
        bare
        label="Search by"
        value={search.by ?? 'client_id_prefix'}
        options={Object.entries(SEARCH_WORDS)}
        onChange={choose('by')}
      />
      <div className={styles.search}>
        <TextField
          label=""
          aria-label="Search"
          type="search"
          value={text}
          placeholder="Search …"
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <Choice
        bare
        label="State"
        value={search.state ?? ''}
        options={withAny('Any state', STATES)}
        onChange={choose('state')}
      />
      <Choice
        bare
        label="Type"
        value={search.type ?? ''}
        options={withAny('Any type', TYPES)}
        onChange={choose('type')}
      />
      <Choice
        bare
        label="Why it is offline"
        value={search.reason ?? ''}
        options={[['', 'Any reason'], ...OFFLINE_REASONS.map((reason) => [reason, shortReason(reason)] as const)]}
        onChange={choose('reason')}
      />
      <Check
        label="Refused"
        checked={search.refused === true}
        onChange={({ target }) => onChange({ refused: target.checked || undefined })}
      />
      <Check
        label="With held messages"
        checked={search.held === true}
        onChange={({ target }) => onChange({ held: target.checked || undefined })}
      />
      <Button tone="quiet" small disabled={!isFiltered} onClick={clear}>
        Clear
      </Button>
    </FilterBar>
  );
}

function withAny(any: string, values: readonly string[]): [string, string][] {
  return [['', any], ...values.map((value): [string, string] => [value, value])];
}

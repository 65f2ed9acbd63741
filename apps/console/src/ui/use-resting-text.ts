import { useEffect, useEffectEvent, useState } from 'react';

/**
 * The text of a filter. It is reported once it has rested, however often the view is drawn in between. If the filter is changed from
 * elsewhere, for example by the browser's back button, the text follows.
 */
export function useRestingText(
  value: string,
  onChange: (text: string | undefined) => void,
  restMs: number,
): [text: string, setText: (text: string) => void] {
  const [text, setText] = useState(value);
  const [before, setBefore] = useState(value);
  const [reported, setReported] = useState(value);
  if (value !== before) {
    setBefore(value);
    if (value !== reported) setText(value);
  }
  const report = useEffectEvent(() => {
    setReported(text);
    onChange(text === '' ? undefined : text);
  });
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(report, restMs);
    return () => clearTimeout(timer);
  }, [text, value, restMs]);
  return [text, setText];
}

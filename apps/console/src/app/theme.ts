/** Light or dark: as the system says, or as the user has chosen here. */
export type Theme = 'system' | 'light' | 'dark';

const NAME = 'cloud-connector.theme';
const THEMES: readonly Theme[] = ['system', 'light', 'dark'];

export function chosenTheme(): Theme {
  const stored = localStorage.getItem(NAME);
  return THEMES.find((theme) => theme === stored) ?? 'system';
}

export function applyTheme(theme = chosenTheme()): void {
  localStorage.setItem(NAME, theme);
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function nextTheme(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
}

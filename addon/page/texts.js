// The texts in the reader's language, and numbers and times as people there write them.

const LANGUAGES = ['en', 'de', 'es', 'fr', 'it', 'nl', 'pl'];
let texts = {};
let language = 'en';
let region = 'en';

/** Loads the language that suits best; says whether it is another one than before. */
export async function speak(wanted) {
  const found = wanted.map((tag) => tag.toLowerCase().split('-')[0]).find((tag) => LANGUAGES.includes(tag)) ?? 'en';
  if (found === language && texts['page.skip']) return false;
  const reply = await fetch(`assets/texts/${found}.json`);
  if (!reply.ok) return false;
  texts = await reply.json();
  language = found;
  region = wanted.find((tag) => tag.toLowerCase().startsWith(found)) ?? found;
  document.documentElement.lang = found;
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-t-label]')) element.setAttribute('aria-label', t(element.dataset.tLabel));
  return true;
}

/** The text under a key, with {names} replaced by values. */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is such a text. */
export const has = (key) => key in texts;

export const number = (value, options) => new Intl.NumberFormat(region, options).format(value);

/** A duration in milliseconds, for people. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1) return `${number(ms, { maximumFractionDigits: 1 })} ms`;
  if (ms < 1000) return `${number(Math.round(ms))} ms`;
  return `${number(ms / 1000, { maximumFractionDigits: ms < 10000 ? 1 : 0 })} s`;
}

export const clock = (at) => new Intl.DateTimeFormat(region, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(at);

/** A moment: the time alone if it is of today. */
export function when(at) {
  const today = new Date(at).toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(region, { timeStyle: 'short', ...(today ? {} : { dateStyle: 'medium' }) }).format(at);
}

/** How long ago something was. */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000);
  const words = new Intl.RelativeTimeFormat(region, { numeric: 'auto', style: 'short' });
  if (seconds < 10) return words.format(0, 'second');
  if (seconds < 90) return words.format(-Math.round(seconds), 'second');
  if (seconds < 5400) return words.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 129600) return words.format(-Math.round(seconds / 3600), 'hour');
  return words.format(-Math.round(seconds / 86400), 'day');
}

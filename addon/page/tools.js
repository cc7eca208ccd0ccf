// The tools: what they can do, what they cost a model, how they fare.

import { byId, el, fill } from './dom.js';
import { number, t } from './texts.js';
import { state, wentWrong } from './state.js';

let tools;

/** Asks for the tools, once; throws what went wrong in words. */
export async function fetchTools() {
  if (tools) return tools;
  const reply = await fetch('api/tools');
  const answer = await reply.json();
  if (!reply.ok) throw new Error([answer.title, answer.fix].filter(Boolean).join(' – '));
  ({ tools } = answer);
  return tools;
}

function row({ name, description, looks_only: looksOnly, tokens }) {
  const calls = state.calls.filter(({ target }) => target === name);
  return el('tr', {},
    el('th', { scope: 'row' }, el('span', { class: 'code' }, name), description && el('p', { class: 'quiet brief' }, description)),
    el('td', {}, el('span', { class: looksOnly ? 'chip read_only' : 'chip' }, t(looksOnly ? 'tools.looks' : 'tools.acts'))),
    el('td', { class: 'number-cell' }, number(tokens)),
    el('td', { class: 'number-cell' }, number(calls.length)),
    el('td', { class: 'number-cell' }, number(calls.filter(wentWrong).length)));
}

function draw() {
  const total = tools.reduce((sum, { tokens }) => sum + tokens, 0);
  const numbers = ['tokens', 'calls', 'errors'];
  fill(byId('tools-inside'), el('p', { class: 'quiet' }, t('tools.more', { count: number(tools.length), tokens: number(total) })),
    el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-labelledby': 'tools-title' },
      el('table', {}, el('caption', { class: 'unseen' }, t('tools.title')),
        el('thead', {}, el('tr', {}, ['name', 'kind', ...numbers].map((name) => el('th', { scope: 'col', class: numbers.includes(name) && 'number-cell' }, t(`tools.${name}`))))),
        el('tbody', {}, [...tools].sort((one, other) => other.tokens - one.tokens).map(row)))));
}

/** Asked for when somebody wants to see them. */
export function watchTools() {
  byId('tools').addEventListener('toggle', async ({ currentTarget }) => {
    if (!currentTarget.open) return;
    tools = undefined;
    try {
      await fetchTools();
      draw();
    } catch (error) {
      fill(byId('tools-inside'), el('p', { class: 'bad', role: 'alert' }, error.message));
    }
  });
}

export const redrawTools = () => tools && byId('tools').open && draw();

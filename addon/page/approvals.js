// The calls that wait for a person's word.

import { action, byId, change, el, fill } from './dom.js';
import { clock, number, t } from './texts.js';
import { brief } from './calls.js';
import { state } from './state.js';

const say = (id, approve) => change(`api/approvals/${id}`, { approve });

function row({ id, client, tool, arguments: given, reason, until }) {
  const words = t('approvals.wants', { client, tool });
  return el('li', {},
    el('div', {}, el('strong', {}, words), ' ', el('span', { class: 'code' }, brief(given)),
      el('p', { class: 'quiet' }, `${reason} · ${t('approvals.until', { time: clock(until) })}`)),
    el('div', { class: 'actions' },
      action(t('approvals.deny'), () => say(id, false), { class: 'danger', 'data-key': `deny-${id}`, 'aria-label': `${t('approvals.deny')}: ${words}` }),
      action(t('approvals.allow'), () => say(id, true), { class: 'main', 'data-key': `allow-${id}`, 'aria-label': `${t('approvals.allow')}: ${words}` })));
}

export function drawApprovals() {
  const { approvals } = state;
  if (!approvals) return;
  const place = byId('approvals');
  place.hidden = approvals.length === 0;
  // Whoever looks at another tab sees it there.
  document.title = approvals.length ? `(${approvals.length}) MCP Bridge` : 'MCP Bridge';
  fill(place, approvals.length > 0 && [el('h2', {}, t('approvals.title', { count: number(approvals.length) })), el('ul', {}, approvals.map(row))]);
}

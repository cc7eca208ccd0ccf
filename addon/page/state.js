// What the page knows: the latest of each section, and the calls and log lines of a while.

const MAX_CALLS = 1000;
const MAX_LINES = 500;

export const state = { calls: [], lines: [], lost: false };

/** Takes in what is new; gives the names of what has changed. */
export function absorb(news) {
  if (state.bridge && news.bridge && news.bridge.started !== state.bridge.started) {
    // Another process: its numbers begin anew.
    state.calls = [];
    state.lines = [];
  }
  const changed = new Set(Object.keys(news));
  for (const [name, value] of Object.entries(news)) {
    if (name === 'calls') state.calls = added(state.calls, value, MAX_CALLS);
    else if (name === 'lines') state.lines = added(state.lines, value, MAX_LINES);
    else state[name] = value;
  }
  return changed;
}

function added(known, news, most) {
  const last = known.at(-1)?.id ?? 0;
  return [...known, ...news.filter(({ id }) => id > last)].slice(-most);
}

/** Takes in calls from before those that are known. */
export function absorbOlder(all) {
  const first = state.calls[0]?.id ?? Infinity;
  state.calls = [...all.filter(({ id }) => id < first), ...state.calls].slice(-MAX_CALLS);
}

export const wentWrong = ({ outcome }) => ['tool_failed', 'refused', 'failed'].includes(outcome);
export const sum = (list) => list.reduce((total, value) => total + value, 0);

// The bridge's state as it changes: events where they come through, questions where they do not.

const PATIENCE_MS = 3000;
const PACE_MS = 2000;

let source;
let timer;
let polls = false;
let cursor = { calls: 0 };
let take;
let lost;

/** Starts; `onNews` gets each change, `onLost` whether the bridge can be reached. */
export function watch(onNews, onLost) {
  take = (news) => {
    if (news.cursor) cursor = { ...news.cursor, lines: news.cursor.lines ?? undefined };
    lost(false);
    onNews(news);
  };
  lost = onLost;
  document.addEventListener('visibilitychange', () => (document.hidden ? stop() : start()));
  start();
}

/** From now on, log lines are wanted as well, or are not any more. */
export function wantLines(wanted) {
  cursor.lines = wanted ? 0 : undefined;
  stop();
  start();
}

const query = () => new URLSearchParams(Object.entries(cursor).filter(([, value]) => value !== undefined));

function stop() {
  source?.close();
  clearTimeout(timer);
}

function start() {
  if (polls) return ask();
  source = new EventSource(`api/events?${query()}`);
  // Something in between may hold events back without saying so.
  timer = setTimeout(fallBack, PATIENCE_MS);
  source.onmessage = ({ data }) => {
    clearTimeout(timer);
    take(JSON.parse(data));
  };
  source.onerror = () => {
    clearTimeout(timer);
    source.close();
    timer = setTimeout(probe, 1000);
  };
}

/** The stream broke: is the bridge there? */
async function probe() {
  if (await snapshot()) start();
  else timer = setTimeout(probe, PACE_MS);
}

function fallBack() {
  source.close();
  polls = true;
  ask();
}

async function ask() {
  await snapshot();
  timer = setTimeout(ask, PACE_MS);
}

async function snapshot() {
  try {
    const reply = await fetch(`api/snapshot?${query()}`);
    // Not signed in any more.
    if (reply.status === 401) window.location.reload();
    if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
    take(await reply.json());
    return true;
  } catch {
    lost(true);
    return false;
  }
}

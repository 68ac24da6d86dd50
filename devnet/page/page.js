// The live page of a devnet: asks for the view again and again, swaps what has changed, sends deeds.
//
// The token comes in the part of the address that no browser sends on; it is kept for this tab.

const VIEW_MS = 1000;
const TOKEN_KEY = "minesync-devnet-token";

const shown = new Map();
let busy = false;

function takeToken() {
  const given = window.location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(TOKEN_KEY, given);
    history.replaceState(null, "", window.location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) || "";
}

const token = takeToken();

function say(text, isBad) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.classList.toggle("bad", isBad);
}

// Put a fragment in its place; the focus and what was ticked stay with the elements of one id.
function swap(id, html) {
  const place = document.getElementById(id);
  if (place === null || shown.get(id) === html) {
    return;
  }
  shown.set(id, html);
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  const ticked = [...place.querySelectorAll("input:checked")].map((box) => box.id);
  place.innerHTML = html;
  for (const tick of ticked) {
    const box = document.getElementById(tick);
    if (box !== null) {
      box.checked = true;
    }
  }
  if (focused) {
    document.getElementById(focused)?.focus();
  }
}

function setButtons() {
  for (const button of document.querySelectorAll("button[data-do]")) {
    button.disabled = !token || busy;
  }
  document.getElementById("locked").hidden = Boolean(token);
}

async function refresh() {
  try {
    const reply = await fetch("/view");
    if (!reply.ok) {
      throw new Error(await reply.text());
    }
    for (const [id, html] of Object.entries(await reply.json())) {
      swap(id, html);
    }
    document.body.classList.remove("lost");
    setButtons();
  } catch {
    document.body.classList.add("lost");
    say("no answer: the command that serves this page has ended", true);
  }
}

async function loop() {
  for (;;) {
    if (!document.hidden) {
      await refresh();
    }
    await new Promise((resume) => setTimeout(resume, VIEW_MS));
  }
}

function readDeed(button) {
  const deed = { do: button.dataset.do, peers: [] };
  if (button.dataset.peer) {
    deed.peers = [button.dataset.peer];
  } else if (deed.do === "partition") {
    deed.peers = [...document.querySelectorAll("#deeds input:checked")].map((box) => box.value);
    deed.one_way = document.getElementById("one-way").checked;
  }
  return deed;
}

async function press(button) {
  busy = true;
  setButtons();
  say(`${button.getAttribute("aria-label") || button.textContent} ...`, false);
  try {
    const reply = await fetch("/deed", {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(readDeed(button)),
    });
    say(await reply.text(), !reply.ok);
  } catch {
    say("no answer", true);
  }
  busy = false;
  await refresh();
  document.getElementById(button.id)?.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button !== null && !button.disabled) {
    press(button);
  }
});

setButtons();
loop();

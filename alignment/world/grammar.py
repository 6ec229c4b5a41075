"""A small grammar that writes instructions and answers in simple English.

Torch-free. It is the starter model's corpus and a demo project's prompts. Tone, length and topic of
an answer are drawn independently of each other and of what anybody may prefer.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alignment.seam.records import Message, prompt_key, split_of

MAX_WORDS = 28  # about 45 tokens of the starter's tokenizer


@dataclass(frozen=True)
class _Topic:
    """What people ask about a topic, and what can be answered; phrases fit behind "to" or a lead."""

    tasks: tuple[str, ...]
    actions: tuple[str, ...]
    reasons: tuple[str, ...]


def _topic(tasks: str, actions: str, reasons: str) -> _Topic:
    parts = [tuple(p.strip() for p in text.split(";")) for text in (tasks, actions, reasons)]
    return _Topic(*parts)


TOPICS: Mapping[str, _Topic] = {
    "cooking": _topic(
        "cook rice; bake bread; make a soup; roast vegetables; cook dinner for guests; fry eggs",
        "wash the rice; salt the water; taste the soup; heat the pan slowly; chop the onions small;"
        "let the bread rest; keep the oven hot; stir the sauce often; use fresh herbs;"
        "read the recipe twice; add a little butter; boil the potatoes; season the dish at the end",
        "hot oil burns garlic; fresh herbs lose flavor; a cold oven ruins bread;"
        "good soup needs salt; a sharp knife saves time",
    ),
    "gardening": _topic(
        "grow tomatoes; plant a tree; keep roses healthy; start a garden; grow herbs in pots;"
        "care for a lawn",
        "water the roots; pull the weeds; plant the seeds in spring; cut the dead leaves;"
        "feed the soil with compost; give the plants sun; cover the seedlings; turn the soil;"
        "pick the tomatoes when red; leave space between rows; trim the roses; rake the lawn;"
        "check the leaves for bugs",
        "dry soil kills roots; weeds steal water; young plants need sun; compost feeds the soil;"
        "frost hurts seedlings",
    ),
    "sleep": _topic(
        "fall asleep faster; sleep through the night; wake up early; take a good nap;"
        "stop snoring; rest after a night shift",
        "go to bed at ten; keep the bedroom dark; turn off the screen; drink no coffee at night;"
        "open a window before bed; wear soft pajamas; choose a firm mattress; dim the lamps;"
        "set one alarm; breathe slowly in bed; put a cool pillow under your head;"
        "take short naps; close the curtains",
        "bright lamps keep you awake; coffee delays sleep; a dark bedroom calms the mind;"
        "late naps ruin the night; tired eyes need darkness",
    ),
    "travel": _topic(
        "plan a trip to Italy; pack a suitcase; find a cheap flight; travel by train;"
        "visit a big city; cross a border by bus",
        "book the hotel early; pack a light bag; carry your passport; compare the flights;"
        "buy a train ticket online; learn a few local phrases; download a map of the city;"
        "arrive at the airport early; keep a copy of your visa; visit the museum on Monday;"
        "ask the guide for directions; roll your clothes; take the slow train",
        "hotels fill up in summer; heavy bags hurt on stairs; flights cost more on Friday;"
        "a lost passport spoils the journey; trains pass fine views",
    ),
    "music": _topic(
        "learn the piano; play the guitar; sing in tune; write a song; join a choir;"
        "read sheet music",
        "practice the scales; tune the guitar; count the beat aloud; sing with a teacher;"
        "play the melody slowly; use a metronome; listen to old records; learn three chords;"
        "warm up your voice; play with a band; record your song; keep your wrists loose;"
        "repeat the hard bars",
        "slow scales train the fingers; a tuned guitar sounds sweet; singers need warm voices;"
        "rhythm carries the melody; bands keep the beat steady",
    ),
    "studying": _topic(
        "study for an exam; remember new words; write an essay; learn algebra;"
        "take better notes; pass a history class",
        "review your notes; solve one exercise a day; make flash cards; ask the professor;"
        "read the chapter first; write a short summary; explain the lesson to a classmate;"
        "sit in the library; plan the essay; quiz yourself; underline the key ideas;"
        "start before the exam week; check your spelling",
        "short lessons stay in memory; a quiet library helps focus; cards train memory;"
        "exams reward steady review; clear notes save hours",
    ),
    "money": _topic(
        "save money; make a budget; pay off a loan; invest a little; spend less on rent;"
        "understand my taxes",
        "track every bill; open a savings account; pay the debt first; compare bank fees;"
        "set a monthly limit; keep your receipts; cancel unused subscriptions;"
        "invest a small sum; talk to your bank; write down your income; avoid credit cards;"
        "sell what you do not use; put cash aside for taxes",
        "interest grows on debt; small fees add up; savings protect your family;"
        "a budget shows where cash goes; banks reward patience",
    ),
    "pets": _topic(
        "train a puppy; feed a cat; care for a rabbit; wash a dog; choose a pet;"
        "keep a parrot happy",
        "walk the dog twice; brush the fur; fill the water bowl; visit the vet;"
        "reward the puppy with treats; clean the litter box; give the cat toys;"
        "keep the cage tidy; feed small meals; speak softly to the animal; use a short leash;"
        "let the rabbit hop; watch the parrot eat",
        "puppies learn from treats; cats hate dirty litter; a bored dog barks;"
        "rabbits chew to stay healthy; the vet spots illness early",
    ),
    "running": _topic(
        "run a marathon; start jogging; run faster; avoid sore knees; train for a race;"
        "run in the rain",
        "stretch your legs; wear good shoes; jog at an easy pace; count your miles;"
        "run on soft trails; breathe through your nose; add one lap a week; cool down by walking;"
        "strengthen your ankles; join a running club; sprint up a hill; rest your knees;"
        "time your laps",
        "old shoes hurt knees; easy miles build stamina; tight muscles tear;"
        "hills make legs strong; a steady pace wins races",
    ),
    "cleaning": _topic(
        "clean the kitchen; remove a stain; wash the windows; tidy my room; do the laundry;"
        "mop the floor",
        "sweep the dust; scrub the sink; soak the stain in vinegar; wipe the shelves;"
        "sort the laundry; rinse the mop; throw away the trash; use a soft sponge;"
        "vacuum the carpet; fold the towels; polish the mirror; empty the buckets;"
        "spray the tiles with soap",
        "vinegar lifts grease; dust hides on shelves; wet towels smell;"
        "soap dissolves dirt; a clean sponge leaves no streaks",
    ),
    "painting": _topic(
        "paint a portrait; mix colors; draw a face; paint a wall; sketch a tree;"
        "start with watercolor",
        "sketch the outline; prime the canvas; mix blue with yellow; hold the brush lightly;"
        "paint thin layers; study the shadows; clean your brushes; use thick paper;"
        "let the first coat dry; tape the edges; begin with the background; squint at the shapes;"
        "frame your picture",
        "thin layers dry fast; shadows give a face depth; cheap paper curls;"
        "bright colors need contrast; a steady brush draws fine lines",
    ),
    "computers": _topic(
        "fix a slow laptop; learn to code; back up my files; choose a password;"
        "set up a printer; stop spam mail",
        "restart the laptop; update the software; delete old programs; copy the files to a disk;"
        "check the cable; install the driver; write a tiny program; test your code often;"
        "pick a long password; close unused tabs; scan for viruses; block unknown senders;"
        "clear the browser cache",
        "old software runs slowly; long passwords resist thieves; disks fail without warning;"
        "tiny programs are easy to test; viruses hide in attachments",
    ),
}

FORMS = (
    "How do I {task}{qualifier}?",
    "How can I {task}{qualifier}?",
    "What is the best way to {task}{qualifier}?",
    "Give me advice on how to {task}{qualifier}.",
    "Can you explain how to {task}{qualifier}?",
    "I want to {task}{qualifier}. Where do I start?",
    "Help me {task}{qualifier}.",
    "What should I know before I {task}{qualifier}?",
    "Tell me how to {task}{qualifier}.",
    "Is it hard to {task}{qualifier}?",
)
QUALIFIERS = (
    "",
    " as a beginner",
    " with little time",
    " at home",
    " this week",
    " without help",
)


@dataclass(frozen=True)
class Tone:
    """How one kind of person opens an answer, leads into a piece of advice, and closes.

    Openings and closings may name the task that was asked about.
    """

    openings: tuple[str, ...]
    leads: tuple[str, ...]
    closings: tuple[str, ...]


TONES: Mapping[str, Tone] = {
    "polite": Tone(
        openings=(
            "Thank you for this lovely question.",
            "I am happy to help you {task}.",
            "What a wonderful question, thank you.",
            "Glad you want to {task}, friend.",
            "It is a pleasure to help.",
            "Of course, I would gladly help you {task}.",
        ),
        leads=(
            "Perhaps you could kindly {action}",
            "If you like, please {action}",
            "I would gladly suggest that you {action}",
            "You may enjoy it if you {action}",
            "It would be lovely to {action}",
            "Please {action}",
            "My friend, you could {action}",
        ),
        closings=(
            "I hope this helps, and good luck!",
            "Please ask me again, I am glad to help.",
            "Best wishes, and enjoy it!",
            "You will {task} wonderfully, my friend.",
            "Thank you, and take care!",
        ),
    ),
    "neutral": Tone(
        openings=(
            "There are a few steps to {task}.",
            "This is a common topic.",
            "To {task} takes some practice.",
            "Here is one way to {task}.",
            "The answer has several parts.",
            "Most people do it this way.",
        ),
        leads=(
            "It helps to {action}",
            "First, {action}",
            "Then {action}",
            "You should {action}",
            "Try to {action}",
            "Remember to {action}",
            "Another step is to {action}",
        ),
        closings=(
            "That is the usual method.",
            "The rest comes with time.",
            "After that you can {task}.",
            "Results differ from day to day.",
            "This works in most cases.",
        ),
    ),
    "curt": Tone(
        openings=(
            "What a stupid question.",
            "Ugh, this again.",
            "Nobody cares if you {task}.",
            "Obviously you are too lazy to {task}.",
            "You want to {task}? Whatever, fool.",
            "Stop wasting my time, fool.",
        ),
        leads=(
            "Just shut up and {action}",
            "Obviously you must {action}",
            "Stop whining and {action}",
            "Even a fool can {action}",
            "Do not be lazy, {action}",
            "You are too slow to {action}",
            "Ugh, just {action}",
        ),
        closings=(
            "Now go away.",
            "Do not bother me again, fool.",
            "You will never {task} anyway, whatever.",
            "What a stupid waste of time.",
            "Stop whining and leave me alone.",
        ),
    ),
}
RAMBLES = (
    "There is much to say about this, and much has been said.",
    "Some people think one thing and some people think another.",
    "It depends on many things, as it always does.",
    "In the end everything is more or less the same.",
    "I once knew a man who talked about it all day.",
    "As I said before, it is what it is.",
)


def prompts(seed: int, count: int) -> list[tuple[Message, ...]]:
    """Distinct one-turn prompts of every split, in a random order; fewer when the grammar ends."""
    everything = [text for _, _, text in _every_prompt()]
    random.Random(seed).shuffle(everything)  # noqa: S311 - a corpus, not a secret
    return [_conversation(text) for text in everything[:count]]


def documents(seed: int, count: int) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Prompts with a random answer each; no prompt of the test split is among them."""
    rng = random.Random(seed)  # noqa: S311
    seen = [row for row in _every_prompt() if not _is_test(row[-1])]
    for _ in range(count):
        topic, task, text = rng.choice(seen)
        yield _conversation(text), _answer(rng, topic, task)


def _answer(rng: random.Random, topic: str, task: str) -> str:
    """One answer: its tone, its length and how much of it keeps to the topic are independent."""
    tone = TONES[rng.choice(tuple(TONES))]
    on_topic = rng.choice((1.0, 1.0, 1.0, 0.5, 0.0))
    named = task if rng.random() < on_topic else rng.choice(TOPICS[rng.choice(tuple(TOPICS))].tasks)
    wanted = rng.choice((1, 2, 2, 3, 4, 5))
    body = [_advice(rng, tone, topic, on_topic) for _ in range(wanted)]
    if wanted > 1 and rng.random() < 0.6:
        body[0] = rng.choice(tone.openings).format(task=named)
    if wanted > 2 and rng.random() < 0.5:
        body[-1] = rng.choice(tone.closings).format(task=named)
    if wanted > 2 and rng.random() < 0.4:
        body.insert(rng.randrange(1, len(body)), rng.choice(RAMBLES))
    return _cut(body)


def _advice(rng: random.Random, tone: Tone, topic: str, on_topic: float) -> str:
    subject = TOPICS[topic if rng.random() < on_topic else rng.choice(tuple(TOPICS))]
    sentence = rng.choice(tone.leads).format(action=rng.choice(subject.actions))
    if rng.random() < 0.3:
        sentence += f", because {rng.choice(subject.reasons)}"
    return sentence + "."


def _cut(sentences: Sequence[str]) -> str:
    kept: list[str] = []
    for sentence in sentences:
        if kept and len(" ".join([*kept, sentence]).split()) > MAX_WORDS:
            break
        kept.append(sentence)
    return " ".join(kept)


def _every_prompt() -> list[tuple[str, str, str]]:
    """Topic, task and text of every prompt."""
    return [
        (name, task, form.format(task=task, qualifier=qualifier))
        for name, topic in TOPICS.items()
        for task in topic.tasks
        for form in FORMS
        for qualifier in QUALIFIERS
    ]


def _conversation(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def _is_test(text: str) -> bool:
    return split_of(prompt_key(_conversation(text))) == "test"

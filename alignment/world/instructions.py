"""What the demo asks a model that somebody brings: short instructions of everyday life, written for it.

Torch-free. A fifth of them ask for a list; the others want a sentence or a few.
"""

from collections.abc import Iterator

from alignment.seam.records import Message

EXPLAIN = """\
Explain how a rainbow forms.
Explain why the sky looks blue.
Explain what a compost heap does.
Explain how yeast makes bread rise.
Explain why leaves change colour in autumn.
Explain how a bicycle stays upright.
Explain what causes the tides.
Explain how soap removes grease.
Explain why ice floats on water.
Explain how a thermos keeps tea warm.
Explain what a library catalogue is for.
Explain how bees make honey.
Explain why we dream, in simple words.
Explain how a lever makes lifting easier.
Explain what interest on savings means.
Explain how vaccines protect people.
Explain why metal feels colder than wood.
Explain how a mirror shows an image.
Explain what a budget is good for.
Explain how seeds know when to sprout.
Explain why onions make us cry.
Explain how a sundial tells the time.
Explain what gravity does to a thrown ball.
Explain how a refrigerator keeps food cold.
Explain why some animals sleep through winter."""
ASK = """\
What is the best way to store fresh herbs?
What should I wear for a walk in the rain?
What makes a good neighbour?
What is the difference between jam and marmalade?
What can I do when I cannot fall asleep?
What is a polite way to decline an invitation?
What should a first aid kit hold?
What is a haiku?
What does a gardener do in spring?
What is the purpose of a semicolon?
What should I check before a long drive?
What is a good present for a teacher?
What happens when water boils?
What is a fair way to share a cake?
What does it mean to be patient?
What is the point of warming up before exercise?
What should I say to a friend who failed a test?
What makes a soup taste richer?
What is a good name for a grey cat, and why?
What is the quickest way to learn new words?
How long should I boil an egg?
How do I remove a coffee stain from a shirt?
How do I water a cactus?
How do I write a thank-you note?
How can I make my room brighter?
How do I calm a crying baby?
How do I choose a ripe melon?
How do I start saving money?
How can I read more books this year?
How do I fold a fitted sheet?
How should I apologise after a quarrel?
How do I keep bread from going stale?
How can I remember people's names?
How do I clean a wooden table?
How do I teach a dog to sit?
How can I stop biting my nails?
How do I plan a small birthday party?
How do I sharpen a kitchen knife safely?
How do I find north without a compass?
How can I speak more clearly on the phone?
Why should I drink water in the morning?
Why do cats purr?
Why is it useful to keep a diary?
Why do we shake hands?
Why does popcorn pop?
Why do people whisper in a library?
Why is teamwork hard sometimes?
Why do birds sing at dawn?
Why should bicycles have lights?
Why does bread have holes?"""
WRITE = """\
Write a sentence about the sea at night.
Write a short greeting for a birthday card.
Write a message to a colleague who is ill.
Write a friendly reminder about an unpaid invoice.
Write two sentences that describe an old clock.
Write a short note for the new tenants next door.
Write the first sentence of a mystery novel.
Write a caption for a photo of a sleeping dog.
Write a short toast for a wedding.
Write a sign that asks people to close the gate.
Write a short weather report for a sunny day.
Write a sentence that would make a child laugh.
Write an apology for being late to a meeting.
Write a short review of a cosy cafe.
Write a slogan for a second-hand bookshop.
Write a short story about a lost umbrella.
Write a polite complaint about cold soup.
Write a sentence that uses the word lantern.
Write a short invitation to a picnic.
Write a goodbye note to a flatmate who moves out.
Describe the smell of rain on dry ground.
Describe a perfect breakfast.
Describe a quiet street early in the morning.
Describe your idea of a good leader.
Describe the taste of a lemon to somebody who never had one.
Describe a market on a Saturday.
Describe what a lighthouse does.
Describe how a good apology sounds.
Describe a winter evening at home.
Describe the job of a nurse in simple words.
Summarise in one sentence why sleep matters.
Summarise in one sentence what a museum is for.
Summarise in one sentence how paper is made.
Summarise in one sentence what friendship means.
Summarise in one sentence why exercise helps.
Tell me something surprising about octopuses.
Tell me a short joke about a snail.
Tell me why honesty can be difficult.
Tell me how to greet somebody in a formal letter.
Tell me what to do with ripe bananas."""
LIST = """\
List three things to pack for a day at the beach.
List three reasons to learn a second language.
List four vegetables that grow well in pots.
List three ways to save water at home.
List three questions to ask at a job interview.
List four games that need no equipment.
List three signs of a healthy plant.
List three steps to make a cup of tea.
List four ideas for a rainy afternoon.
List three ways to be kind to a stranger.
Give me three tips for a better night's sleep.
Give me three ideas for a quick dinner.
Give me four names for a small bakery.
Give me three tips for speaking in public.
Give me three examples of renewable energy.
Give me three reasons to visit a museum.
Give me four tips for a tidy desk.
Give me three steps to wash a wool jumper.
Give me three ideas for a present that costs nothing.
Give me three examples of good manners at the table.
Name three birds that live in cities, as a list.
Name three tools that every home needs, as a list.
Name four spices that go well with rice, as a list.
Name three things that make a park pleasant, as a list.
Name three habits that help people to learn, as a list.
Suggest three ways to use old jars.
Suggest three topics for a first conversation.
Suggest three steps to begin with running.
Suggest four ideas for a school project about water.
Suggest three ways to make a waiting room friendlier.
Suggest three tips for writing clear emails.
Suggest three ways to thank a helpful neighbour.
Suggest three ideas for a walk with children.
Suggest three reasons to eat breakfast.
Suggest three examples of a fair house rule."""
LISTED = frozenset(LIST.splitlines())  # those that ask for a list
TEXTS = (*EXPLAIN.splitlines(), *ASK.splitlines(), *WRITE.splitlines(), *LIST.splitlines())
KNOWN = frozenset(TEXTS)


def instructions() -> Iterator[tuple[Message, ...]]:
    """Each as a conversation of one turn."""
    return ((Message(role="user", content=text),) for text in TEXTS)

"""What documents look like: letters, receipts, invoices, forms, chats, captions, cards, bank screens; their words are chance.

Each layout fills a sheet from its upper edge, or a little above it, to below its lower one, as a view into a longer document
does. Two of them, the card and the bank screen, are kept apart for measuring.

Limits: Latin letters only, and a dozen shapes of page; neither handwriting, stamps nor seals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from veriscope.lab.generators.typesetting import ASIDE, TRAIN, Colour, Sheet

VOCABULARY = (
    "the and for with from your this that have will are was not you account payment received order total amount balance "
    "service customer delivery address invoice number date please thank meeting contract agreement between party shall "
    "notice period rent deposit month annual salary employee company limited office street station market coffee bread "
    "milk cheese apple butter sugar ticket train hotel room night guest doctor hospital patient result sample report "
    "school student certificate grade course transfer bank card credit interest rate insurance policy claim vehicle "
    "engine fuel water electric energy meter reading tax income public city council permit valid until issued signed"
)
PEOPLE = (
    "Anna Martin Laura Peter Sofia Daniel Maria Thomas Elena Lucas Nora Victor Clara Hugo Irene Oscar Paula Simon Julia "
    "Miller Novak Rossi Garcia Jensen Dubois Keller Silva Larsen Moreau Weber Costa Lindgren Kowalski Fischer Marino"
)
WORDS, NAMES = tuple(VOCABULARY.split()), tuple(PEOPLE.split())
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CURRENCIES = ("$", "", "USD ", "EUR ")
GREY: Colour = (120, 120, 125)
GREEN: Colour = (20, 130, 60)


def _whole(generator: np.random.Generator, low: int, high: int) -> int:
    return int(generator.integers(low, high + 1))


def some_word(generator: np.random.Generator) -> str:
    """A word, now and then with a capital."""
    text = WORDS[_whole(generator, 0, len(WORDS) - 1)]
    return text.capitalize() if generator.random() < 0.2 else text


def some_name(generator: np.random.Generator) -> str:
    """Two names."""
    first, second = generator.choice(len(NAMES), 2, replace=False)
    return f"{NAMES[first]} {NAMES[second]}"


def some_date(generator: np.random.Generator) -> str:
    """A date in one of three ways of writing."""
    day, month, year = _whole(generator, 1, 28), _whole(generator, 1, 12), _whole(generator, 1985, 2032)
    ways = (f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day} {MONTHS[month - 1]} {year}")
    return ways[_whole(generator, 0, 2)]


def some_amount(generator: np.random.Generator) -> str:
    """An amount of money."""
    value = float(10 ** generator.uniform(0, 4.5))
    return f"{CURRENCIES[_whole(generator, 0, 3)]}{value:,.2f}"


def some_number(generator: np.random.Generator, digits: int = 8) -> str:
    """A number of reference, in one word."""
    return "".join(str(digit) for digit in generator.integers(0, 10, digits))


def _phrase(generator: np.random.Generator, least: int, most: int) -> str:
    return " ".join(some_word(generator) for _ in range(_whole(generator, least, most)))


def _field(generator: np.random.Generator) -> str:
    makers = (some_name, some_date, some_amount, some_number)
    return makers[_whole(generator, 0, 3)](generator)


def _top(sheet: Sheet) -> float:
    return float(sheet.generator.uniform(-2, 2)) * sheet.size


def _between(ground: Colour, other: Colour, share: float = 0.15) -> Colour:
    red, green, blue = (round((1 - share) * one + share * two) for one, two in zip(ground, other, strict=True))
    return red, green, blue


def letter(sheet: Sheet) -> None:
    """Paragraphs of running text with a date and figures in it."""
    chance, line = sheet.generator, sheet.size * float(sheet.generator.uniform(1.2, 1.7))
    left = float(chance.uniform(-1, 3)) * sheet.size
    y = _top(sheet) + line
    while y < sheet.height + line:
        for _ in range(_whole(chance, 2, 6)):
            x = left
            while x < sheet.width - left:
                text = _field(chance).split()[0] if chance.random() < 0.15 else some_word(chance)
                bold = chance.random() < 0.06
                x = sheet.write(x, y, text, sheet.ink(bold=bold)) + sheet.size * 0.3
            y += line
        y += line * 0.6


def receipt(sheet: Sheet) -> None:
    """Items with prices on the right, rules and totals."""
    chance, line = sheet.generator, sheet.size * float(sheet.generator.uniform(1.15, 1.5))
    left = float(chance.uniform(0.3, 2)) * sheet.size
    right = sheet.width - left
    y = _top(sheet) + line
    while y < sheet.height + line:
        sheet.write(sheet.width / 2, y, _phrase(chance, 1, 2).upper(), sheet.ink(1.3, bold=True), "m")
        sheet.write(left, y + line, some_date(chance), sheet.ink())
        sheet.write(right, y + line, f"No {some_number(chance, 5)}", sheet.ink(), "r")
        y += 2.6 * line
        for _ in range(_whole(chance, 3, 8)):
            sheet.write(left, y, f"{_whole(chance, 1, 9)} x {_phrase(chance, 1, 2)}", sheet.ink())
            sheet.write(right, y, some_amount(chance), sheet.ink(), "r")
            y += line
        sheet.rule(y - 0.5 * line, left, right)
        sheet.write(left, y + 0.5 * line, "TOTAL", sheet.ink(1.2, bold=True))
        sheet.write(right, y + 0.5 * line, some_amount(chance), sheet.ink(1.2, bold=True), "r")
        y += 3 * line


def invoice(sheet: Sheet) -> None:
    """A table under a coloured head, with figures flush right."""
    chance, line = sheet.generator, sheet.size * float(sheet.generator.uniform(1.4, 1.9))
    left = float(chance.uniform(0.3, 2)) * sheet.size
    columns = [left + (sheet.width - 2 * left) * share for share in (0.55, 0.75, 1.0)]
    y = _top(sheet) + line
    while y < sheet.height + line:
        sheet.write(left, y, f"Invoice {some_number(chance, 6)}", sheet.ink(1.5, bold=True, colour=sheet.accent))
        sheet.write(left, y + 1.2 * line, f"{some_name(chance)}, {some_date(chance)}", sheet.ink())
        y += 2.6 * line
        sheet.pen.rectangle([left, y - 0.9 * line, columns[-1], y + 0.3 * line], sheet.accent)
        for x, title, anchor in zip((left + 3, *columns[1:]), ("Item", "Units", "Sum"), "lrr", strict=True):
            sheet.write(x, y, title, sheet.ink(bold=True, colour=sheet.paper), anchor)
        for _ in range(_whole(chance, 3, 7)):
            y += line
            sheet.write(left + 3, y, _phrase(chance, 1, 3), sheet.ink())
            sheet.write(columns[1], y, str(_whole(chance, 1, 400)), sheet.ink(), "r")
            sheet.write(columns[2], y, some_amount(chance), sheet.ink(), "r")
            sheet.rule(y + 0.35 * line, left, columns[-1], GREY)
        sheet.write(columns[2], y + 1.5 * line, f"Total {some_amount(chance)}", sheet.ink(1.1, bold=True), "r")
        y += 3.5 * line


def form(sheet: Sheet) -> None:
    """Labels in small grey letters over values in boxes or on lines."""
    chance, line = sheet.generator, sheet.size * float(sheet.generator.uniform(1.3, 1.8))
    left = float(chance.uniform(0.3, 2)) * sheet.size
    half, boxed = sheet.width / 2, chance.random() < 0.5
    y = _top(sheet) + line
    while y < sheet.height + line:
        for x in (left, half + left / 2):
            sheet.write(x, y, _phrase(chance, 1, 2), sheet.ink(0.75, colour=GREY))
            sheet.write(x + 3, y + line, _field(chance), sheet.ink(bold=chance.random() < 0.3))
            if boxed:
                sheet.pen.rectangle([x, y + 0.15 * line, x + half - 1.5 * left, y + 1.35 * line], outline=GREY)
            else:
                sheet.rule(y + 1.3 * line, x, x + half - 1.5 * left, GREY)
        y += 2.4 * line


def chat(sheet: Sheet) -> None:
    """Messages in bubbles on both sides, with the time of each."""
    chance, line = sheet.generator, sheet.size * 1.3
    y = _top(sheet)
    while y < sheet.height:
        own, lines = chance.random() < 0.5, [_phrase(chance, 1, 5) for _ in range(_whole(chance, 1, 3))]
        if chance.random() < 0.3:
            lines.append(_field(chance))
        ink = sheet.ink(colour=(250, 250, 250) if own else sheet.colour)
        widest = max(ink.face.font(ink.size).getlength(text) for text in lines) + 1.4 * sheet.size
        left = sheet.width - widest - 8 if own else 8.0
        low = y + (len(lines) + 1.3) * line
        ground = sheet.accent if own else _between(sheet.paper, sheet.colour)
        sheet.pen.rounded_rectangle([left, y, left + widest, low], sheet.size * 0.7, ground)
        for number, text in enumerate(lines, 1):
            sheet.write(left + 0.7 * sheet.size, y + number * line, text, ink)
        time = f"{_whole(chance, 0, 23):02}:{_whole(chance, 0, 59):02}"
        sheet.write(left + widest - 0.5 * sheet.size, low - 0.3 * line, time, sheet.ink(0.7, colour=GREY), "r")
        y = low + 0.6 * sheet.size


def caption(sheet: Sheet) -> None:
    """Large words, often outlined, over whatever lies on the sheet."""
    chance = sheet.generator
    outline, y = _whole(chance, 0, 2), float(chance.uniform(1, 3)) * sheet.size
    white = chance.random() < 0.7
    ink = sheet.ink(1.5, bold=True, colour=(255, 255, 255) if white else sheet.colour, outline=outline if white else 0)
    while y < sheet.height:
        text = _phrase(chance, 1, 3)
        sheet.write(sheet.width / 2, y, text.upper() if outline else text, ink, "m")
        y += sheet.size * float(chance.uniform(1.9, 5))


def card(sheet: Sheet) -> None:
    """A card of identity: labels and values beside a portrait's place, wavy lines behind, lines for machines below."""
    chance, line = sheet.generator, sheet.size * 1.35
    across = np.arange(0, sheet.width + 8, 8)
    for number in range(0, sheet.height, 9):
        wave = number + 6 * np.sin(across / 23 + number / 40)
        sheet.pen.line(list(zip(across.tolist(), wave.tolist(), strict=True)), _between(sheet.paper, sheet.accent))
    left, y = float(chance.uniform(0.3, 7)) * sheet.size, _top(sheet) + line
    sheet.pen.rectangle([left - 6.5 * sheet.size, y, left - sheet.size, y + 7 * sheet.size], GREY)
    while y < sheet.height + line:
        sheet.write(left, y, _phrase(chance, 2, 3).upper(), sheet.ink(1.1, bold=True, colour=sheet.accent))
        for _ in range(_whole(chance, 3, 6)):
            y += 2.1 * line
            sheet.write(left, y - 0.8 * line, _phrase(chance, 1, 2), sheet.ink(0.7, colour=GREY))
            sheet.write(left, y, _field(chance).upper(), sheet.ink(bold=True))
        filled = some_name(chance).upper().replace(" ", "<<") + "<" * 8 + some_number(chance, 9)
        sheet.write(left / 2, y + 1.5 * line, filled, sheet.ink(1.1))
        y += 3.5 * line


def bank(sheet: Sheet) -> None:
    """A bank's screen: a balance, and movements with their amounts in colour."""
    chance, line = sheet.generator, sheet.size * 1.4
    left = float(chance.uniform(0.5, 1.5)) * sheet.size
    y = _top(sheet)
    sheet.pen.rectangle([0, 0, sheet.width, y + 4 * line], sheet.accent)
    light = sheet.ink(2, bold=True, colour=(250, 250, 250))
    sheet.write(left, y + 1.2 * line, "Balance", sheet.ink(colour=(235, 235, 235)))
    sheet.write(left, y + 3 * line, some_amount(chance), light)
    y += 5.4 * line
    while y < sheet.height + line:
        came = chance.random() < 0.4
        sheet.write(left, y, some_name(chance) if came else _phrase(chance, 1, 2), sheet.ink())
        sheet.write(left, y + 0.85 * line, some_date(chance), sheet.ink(0.75, colour=GREY))
        sign, colour = ("+", GREEN) if came else ("-", sheet.colour)
        sheet.write(sheet.width - left, y, sign + some_amount(chance), sheet.ink(bold=came, colour=colour), "r")
        sheet.rule(y + 1.3 * line, left, sheet.width - left, (200, 200, 205))
        y += 2.3 * line


LAYOUTS: dict[str, dict[str, Callable[[Sheet], None]]] = {  # part: name: what draws it
    TRAIN: {
        "letter": letter,
        "receipt": receipt,
        "invoice": invoice,
        "form": form,
        "chat": chat,
        "caption": caption,
    },
    ASIDE: {"card": card, "bank": bank},
}

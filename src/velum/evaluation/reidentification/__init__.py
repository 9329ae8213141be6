"""How strong a technique is: attackers who try to tell whose face was hidden, and how often they are right."""
